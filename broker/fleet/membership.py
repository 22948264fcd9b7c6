"""Membership: who is there.

Each process says so by a Member on `member.<id>`, once per beat, and follows what the others say. A member is

    alive      while its last beat was seen less than its TTL ago (four of its beats), by the local monotonic clock
    gone       when it was not, when it said `leaving`, or when it was a process of this machine that runs no more

and a process trusts itself until `trusted_until`: the time at which its last acknowledged beat was *sent*, plus TTL. The others cannot
have seen that beat earlier, so nobody takes it for gone before it has stopped trusting itself. Trust that has run out and comes back is
another `period`: in between anybody may have taken what was its own.

Silence means something only to those who hear: whoever has not seen an own beat come back lately (stopped, disconnected) takes nobody for
gone because of silence. Clocks of different machines are never compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec
import structlog

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Member
from ..client import BrokerError, Connection, Message, Tail
from . import process

COORDINATOR, WORKER, READER, TRIGGER = "coordinator", "worker", "reader", "trigger"
BEAT_MS = {COORDINATOR: 500}
BEAT_MS_DEFAULT = 2_000
TTL_BEATS = 4
HEARING_BEATS = 2
SWEEP_S = 0.1
FORGET_AFTER_S = 600
"""A member that is gone can be looked at for so long, on the broker and in memory."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Seen:
    """A member as it was seen last. `at`: when, by the monotonic clock, in seconds."""

    member: Member
    at: float
    gone: bool = False


class Membership:
    """This process's place in the fleet, and its view of the others. `facts` may be changed at any time, `tell` says so at once."""

    def __init__(
        self, connection: Connection, role: str, *, facts: dict[str, Any] | None = None, beat_ms: int | None = None, id: str | None = None
    ) -> None:
        self.role = role
        self.id = id or f"{role}-{process.host()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.facts: dict[str, Any] = {} if facts is None else facts
        self.beat_ms = beat_ms or BEAT_MS.get(role, BEAT_MS_DEFAULT)
        self.ttl_s = ttl_s(self.beat_ms)
        self.trusted_until = 0.0
        """Until then, by `time.monotonic`, nobody may take this process for gone."""
        self.period = 0
        """Counts the stretches of unbroken trust."""
        self.on_joined: list[Callable[[Member], None]] = []
        self.on_gone: list[Callable[[Member], None]] = []
        self._connection = connection
        self._started_at = int(time.time() * 1000)
        self._pid_start = process.start_ticks(os.getpid()) or 0
        self._version = version("jetfleet")
        self._others: dict[str, Seen] = {}
        self._unknown: dict[str, float] = {}
        self._sent: dict[int, float] = {}
        self._heard_until = 0.0
        self._tell = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._tail = Tail(connection, subjects.FLEET, 1, self._take, filter_subject="member.>", on_anew=_nothing)

    async def start(self) -> None:
        """Say that this process is there, and learn who else is. Raises BrokerError if the broker does not take the first beat."""
        await self._beat()
        await self._tail.start()
        await self._tail.caught_up()
        self._tasks = [
            asyncio.create_task(self._beat_often(), name=f"beat {self.id}"),
            asyncio.create_task(self._sweep_often(), name=f"members {self.id}"),
        ]

    async def stop(self) -> None:
        """Say goodbye, as far as the broker listens."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._tail.stop()
        if tasks:
            with contextlib.suppress(BrokerError):
                await self._beat(leaving=True, deadline_s=1.0)
        self.trusted_until = 0.0

    def tell(self) -> None:
        """Send a beat now, because `facts` changed."""
        self._tell.set()

    @property
    def trusted(self) -> bool:
        return time.monotonic() < self.trusted_until

    @property
    def hears(self) -> bool:
        """Whether an own beat came back lately: what the others said before it has been seen too."""
        return time.monotonic() < self._heard_until

    def alive(self, id: str) -> bool:
        """Whether the member is known to be there. This process itself is as long as it trusts itself."""
        if id == self.id:
            return self.trusted
        seen = self._others.get(id)
        return seen is not None and not self._is_gone(seen)

    def gone(self, id: str) -> bool:
        """Whether it is certain that the member is not there. Of one that was never seen it is so after TTL."""
        if id == self.id:
            return False
        seen = self._others.get(id)
        if seen is not None:
            return self._is_gone(seen)
        asked = self._unknown.setdefault(id, time.monotonic())
        return self.hears and time.monotonic() >= asked + self.ttl_s

    def others(self, role: str | None = None) -> list[Member]:
        """The other members that are there, of one role or all, by id."""
        found = [seen.member for seen in self._others.values() if role in (None, seen.member.role) and not self._is_gone(seen)]
        return sorted(found, key=lambda member: member.id)

    def members(self) -> list[tuple[Member, bool]]:
        """All others that were there in the last FORGET_AFTER_S, with whether they still are, by id."""
        return [(seen.member, not self._is_gone(seen)) for _, seen in sorted(self._others.items())]

    def _is_gone(self, seen: Seen) -> bool:
        if seen.gone or seen.member.leaving:
            return True
        return self.hears and time.monotonic() >= seen.at + ttl_s(seen.member.beat_ms)

    def _take(self, message: Message) -> None:
        if message.subject == subjects.member(self.id):
            self._hear(message)
            return
        try:
            member = messages.decode(Member, message.data)
        except UnreadableRecord as error:
            _log.warning("member unreadable", subject=message.subject, error=str(error))
            return
        before = self._others.get(member.id)
        was_there = before is not None and not before.gone
        self._others[member.id] = seen = Seen(member, time.monotonic(), member.leaving)
        self._unknown.pop(member.id, None)
        if was_there and member.leaving:
            self._announce(self.on_gone, member)
        elif not was_there and not seen.gone:
            self._announce(self.on_joined, member)

    def _hear(self, message: Message) -> None:
        """An own beat came back."""
        sent = self._sent.get(messages.decode(Member, message.data).at, 0.0)
        self._heard_until = max(self._heard_until, sent + HEARING_BEATS * self.beat_ms / 1000)

    async def _beat_often(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.beat_ms / 1000):
                    await self._tell.wait()
            self._tell.clear()
            try:
                await self._beat(deadline_s=self.ttl_s)
            except BrokerError as error:
                _log.warning("heartbeat not acknowledged", member=self.id, code=error.code, error=str(error))

    async def _beat(self, *, leaving: bool = False, deadline_s: float = 5.0) -> None:
        at = max(int(time.time() * 1000), max(self._sent, default=0) + 1)  # it names the beat, so it must not repeat
        sent = time.monotonic()
        self._sent = {earlier: then for earlier, then in self._sent.items() if then > sent - self.ttl_s} | {at: sent}
        member = Member(
            self.id, self.role, process.host(), process.boot(), os.getpid(), self._version, self._started_at, self.beat_ms,
            at, leaving, self.facts, self._pid_start,
        )  # fmt: skip
        await self._connection.publisher.publish(
            subjects.member(self.id), _encoded(member), headers={"Nats-TTL": f"{FORGET_AFTER_S}s"}, deadline_s=deadline_s
        )
        if not self.trusted:
            self.period += 1
        self.trusted_until = max(self.trusted_until, sent + self.ttl_s)

    async def _sweep_often(self) -> None:
        """Notice who went silent, and whose process is gone, soon enough to be of use."""
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            for id, seen in list(self._others.items()):
                member = seen.member
                if not seen.gone and (self._is_gone(seen) or process.is_gone(member.boot, member.pid, member.pid_start)):
                    seen.gone = True
                    self._announce(self.on_gone, member)
                elif seen.gone and now > seen.at + FORGET_AFTER_S:
                    del self._others[id]

    def _announce(self, listeners: list[Callable[[Member], None]], member: Member) -> None:
        for listener in listeners:
            listener(member)


def _nothing() -> None:
    """Where the server has lost beats: each member's next one says the same again."""


def _encoded(member: Member) -> bytes:
    """A fact that has no bytes must not silence the member."""
    try:
        return messages.encode(member)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        _log.error("facts cannot be told", member=member.id, error=str(error))
        return messages.encode(msgspec.structs.replace(member, facts={"untold": str(error)}))


def ttl_s(beat_ms: int) -> float:
    """How long a member that beats so often is believed to be there, in seconds."""
    return TTL_BEATS * beat_ms / 1000
