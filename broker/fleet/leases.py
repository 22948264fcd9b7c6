"""Leases: which coordinator owns which partitions.

What is authoritative. The message on `lease.<p>`, last of its subject: owner, and a generation that grows with every change of owner. It is
changed by compare-and-set only, so of two that want a partition one gets it. A lease names no time and is never renewed: what
proves that its owner lives is the owner's heartbeat, one for all its partitions (membership.py).

How long local trust lasts. Until `membership.trusted_until`: the time the last acknowledged heartbeat was sent, plus TTL, by the
monotonic clock. `holds(p)` compares the two and must be asked before every publish as an owner. It needs no timer: a process
that was stopped for an hour and goes on finds it False before anything else happens. Trust that comes back brings back nothing: a lease
counts in the period of trust in which it was claimed, and once `holds(p)` was False, it stays so until p was lost and claimed anew, with a
new generation, if nobody else took it.

Who may take over. A free lease: anybody who is due one, at once. A lease of somebody else: who is certain that the owner is gone.
Silence counts only for those who hear (see membership.py), so a coordinator that was cut off takes nothing when it comes back.

Why a stale owner can do no harm. It writes no decisions. What it appends are inputs with ids derived from their cause, which change nothing
when they come twice; its tasks are asked about before they are repeated; its snapshots are compare-and-set on a manifest. Ownership
is about doing work once, not about correctness.

    ┌────────┐ due one, and free or       ┌─────────┐ stored       ┌──────┐
    │ not    │ its owner gone             │ claiming│─────────────▶│ held │  on_gained(p) runs
    │ ours   │───────────────────────────▶│ (CAS)   │              │      │
    │        │◀───────────────────────────│         │              └──┬───┘
    └────────┘        somebody was first  └─────────┘                 │ more than due · stop()    RELEASED
        ▲                                                             │ trust ran out             UNTRUSTED
        │                                 ┌─────────┐                 │ the lease names another   TAKEN
        └─────────────────────────────────│ losing  │◀────────────────┘ on_gained failed          FAILED
             lease freed (CAS) unless     └─────────┘
             UNTRUSTED or TAKEN             on_gained cancelled, on_lost(p, reason) awaited
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import structlog

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Lease, Member
from ..client import BrokerError, Connection, Message, Tail
from .membership import COORDINATOR, Membership
from .sharing import due, to_claim, to_release

RELEASED, UNTRUSTED, TAKEN, FAILED = "released", "untrusted", "taken", "failed"
"""Why a partition was lost."""
DRAINING = "draining"
"""The fact by which a coordinator says that it is about to go: it is due nothing, and the others are due its share."""

Gained: TypeAlias = Callable[[int], Awaitable[None]]
Lost: TypeAlias = Callable[[int, str], Awaitable[None]]

_STEP_S = 0.1
"""A step is also made when nothing was heard, for what only time brings: trust runs out, a member is gone."""
_PUBLISH_S = 1.0
_FAILED_PAUSE_S = 10.0
_FREE = Lease("", 0, 0)

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Held:
    """`period`: that of trust, when it was claimed."""

    generation: int
    seq: int
    period: int
    task: asyncio.Task[None] | None = None


class Leases:
    """This coordinator's share of the partitions.

    `on_gained(p)` runs in a task of its own, for as long as it likes; it is cancelled if the partition is lost meanwhile. `on_lost(p,
    reason)` comes after it has ended, and before the lease is freed. Per partition the two never overlap.

    `on_outdone(p)` is called before anything else happens, when somebody else may act for the partition already.
    """

    def __init__(self, connection: Connection, membership: Membership, partitions: int, on_gained: Gained, on_lost: Lost) -> None:
        self.partitions = partitions
        self._connection, self._membership = connection, membership
        self._on_gained, self._on_lost = on_gained, on_lost
        self.on_outdone: Callable[[int], None] = lambda partition: None
        self._known: dict[int, tuple[Lease, int]] = {}
        self._held: dict[int, _Held] = {}
        self._losing: dict[int, asyncio.Task[None]] = {}
        self._paused: dict[int, float] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._tail = Tail(connection, subjects.FLEET, 1, self._take, filter_subject="lease.>", on_anew=self._forget)

    def holds(self, partition: int) -> bool:
        """Whether this process may act as the partition's owner now. Cheap: ask before every publish."""
        held = self._held.get(partition)
        return held is not None and held.period == self._membership.period and self._membership.trusted

    def held(self) -> list[int]:
        """The partitions that this process may act for now."""
        return sorted(filter(self.holds, self._held))

    @property
    def sound(self) -> bool:
        """Whether all that this process claimed and has not lost is its own now. Only then may leave what it gave out as an owner."""
        membership = self._membership
        return membership.trusted and all(held.period == membership.period for held in self._held.values())

    def generation(self, partition: int) -> int | None:
        """The generation of the held lease."""
        held = self._held.get(partition)
        return None if held is None else held.generation

    def owner(self, partition: int) -> str | None:
        """Who owns the partition as far as is known here; None for nobody."""
        return self._lease(partition)[0].owner or None

    async def start(self) -> None:
        """Read the leases and take part in the sharing. Membership must have been started. Raises BrokerError."""
        self._membership.on_joined.append(self._member_changed)
        self._membership.on_gone.append(self._member_changed)
        await self._tail.start()
        await self._tail.caught_up()
        self._task = asyncio.create_task(self._run(), name="leases")

    async def stop(self) -> None:
        """Release everything: each partition is let go of first, then its lease is freed for the others."""
        if self._task is None:
            return
        task, self._task = self._task, None
        self._membership.facts[DRAINING] = True
        self._membership.tell()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        for partition in list(self._held):
            self._lose(partition, RELEASED)
        await asyncio.gather(*self._losing.values(), return_exceptions=True)
        await self._tail.stop()
        for listeners in (self._membership.on_joined, self._membership.on_gone):
            listeners.remove(self._member_changed)

    async def _run(self) -> None:
        while True:
            await self._step()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STEP_S):
                    await self._changed.wait()
            self._changed.clear()

    async def _step(self) -> None:
        for partition in [partition for partition in self._held if not self.holds(partition)]:
            self._lose(partition, UNTRUSTED)
        if not self._membership.trusted:
            return
        others = [member.id for member in self._membership.others(COORDINATOR) if not member.facts.get(DRAINING)]
        mine = due(self._membership.id, others, self.partitions)
        for partition in to_release(self._held, mine):
            self._lose(partition, RELEASED)
        if len(self._held) < mine:
            await self._claim_all(others, mine - len(self._held))
        if len(self._held) >= mine:
            await self._free_what_is_left()

    async def _claim_all(self, others: Iterable[str], wanted: int) -> None:
        available = [partition for partition in range(self.partitions) if self._is_available(partition)]
        claims = to_claim(self._membership.id, others, self.partitions, available, wanted)
        # By what was available just now: a lease that the tail tells of before the claim leaves may name a living owner.
        await asyncio.gather(*[self._claim(partition, *self._lease(partition), self._membership.period) for partition in claims])

    def _is_available(self, partition: int) -> bool:
        if partition in self._held or partition in self._losing or self._paused.get(partition, 0.0) > time.monotonic():
            return False
        owner = self._lease(partition)[0].owner
        return owner in ("", self._membership.id) or self._membership.gone(owner)

    async def _claim(self, partition: int, before: Lease, seq: int, period: int) -> None:
        """Claim it if its lease is still `before`. `period`: that of trust when that was seen: who is stopped since may have lost it."""
        lease = Lease(self._membership.id, int(time.time() * 1000), before.generation + 1)
        try:
            stored = await self._write(partition, lease, seq)
        except BrokerError as error:  # somebody was first, or nobody knows
            _log.debug("lease not claimed", partition=partition, code=error.code, error=str(error))
            await self._look(partition)
            return
        self._known[partition] = lease, stored
        self._gain(partition, _Held(lease.generation, stored, period))

    def _gain(self, partition: int, held: _Held) -> None:
        self._held[partition] = held
        self._show()
        _log.info("partition gained", partition=partition, generation=held.generation)
        held.task = asyncio.create_task(self._gained(partition, held), name=f"gained {partition}")

    async def _gained(self, partition: int, held: _Held) -> None:
        try:
            await self._on_gained(partition)
        except Exception as error:
            _log.error("partition cannot be taken on", partition=partition, error=repr(error))
            held.task = None
            if self._held.get(partition) is held:
                self._paused[partition] = time.monotonic() + _FAILED_PAUSE_S
                self._lose(partition, FAILED)

    def _lose(self, partition: int, reason: str) -> None:
        """Let go at once; what takes time goes on in a task."""
        held = self._held.pop(partition)
        if reason in (UNTRUSTED, TAKEN):
            self.on_outdone(partition)
        self._show()
        _log.info("partition lost", partition=partition, reason=reason)
        self._losing[partition] = asyncio.create_task(self._lost(partition, held, reason), name=f"lost {partition}")

    async def _lost(self, partition: int, held: _Held, reason: str) -> None:
        try:
            if held.task is not None:
                held.task.cancel()
                await asyncio.wait([held.task])
            try:
                await self._on_lost(partition, reason)
            except Exception as error:
                _log.error("partition was not left properly", partition=partition, error=repr(error))
            if reason in (RELEASED, FAILED):
                await self._free(partition, held.generation, held.seq)
        finally:
            del self._losing[partition]
            self._changed.set()

    async def _free_what_is_left(self) -> None:
        """What was lost for want of trust, or could not be freed, still names this process, and so nobody else can take it."""
        for partition, (lease, seq) in list(self._known.items()):
            if lease.owner == self._membership.id and partition not in self._held and partition not in self._losing:
                await self._free(partition, lease.generation, seq)

    async def _free(self, partition: int, generation: int, seq: int) -> None:
        free = Lease("", int(time.time() * 1000), generation)
        try:
            stored = await self._write(partition, free, seq)
        except BrokerError as error:  # it is somebody else's already; or the others will see that this process is gone
            _log.debug("lease not freed", partition=partition, code=error.code, error=str(error))
        else:
            self._learn(partition, free, stored)

    async def _write(self, partition: int, lease: Lease, seq: int) -> int:
        ack = await self._connection.publisher.publish(
            subjects.lease(partition), messages.encode(lease), expect_last_subject_seq=seq, deadline_s=_PUBLISH_S
        )
        return ack.seq

    async def _look(self, partition: int) -> None:
        """Read the lease itself. The tail will tell as well; who waited for that alone would claim in vain for as long as it is silent."""
        with contextlib.suppress(BrokerError):
            stored = await self._connection.streams.last(subjects.FLEET, subjects.lease(partition))
            if stored is not None:
                self._read(partition, stored.data, stored.seq)

    def _take(self, message: Message) -> None:
        number = subjects.partition_in(message.subject, self.partitions)
        if number is not None:
            self._read(number, message.data, message.stream_seq)

    def _read(self, partition: int, data: bytes, seq: int) -> None:
        try:
            lease = messages.decode(Lease, data)
        except UnreadableRecord as error:
            _log.warning("lease unreadable: it counts as free", partition=partition, error=str(error))
            lease = _FREE
        self._learn(partition, lease, seq)

    def _forget(self) -> None:
        """The server has lost leases: what was claimed here may be somebody else's by now, and no known sequence is the last one."""
        self._known.clear()
        for partition in list(self._held):
            self._lose(partition, UNTRUSTED)

    def _learn(self, partition: int, lease: Lease, seq: int) -> None:
        """What is read may be older than what this process wrote meanwhile."""
        if seq < self._lease(partition)[1]:
            return
        self._known[partition] = lease, seq
        held = self._held.get(partition)
        if held is not None and seq > held.seq:
            self._lose(partition, TAKEN)
        self._changed.set()

    def _lease(self, partition: int) -> tuple[Lease, int]:
        return self._known.get(partition, (_FREE, 0))

    def _member_changed(self, member: Member) -> None:
        self._changed.set()

    def _show(self) -> None:
        self._membership.facts["partitions"] = sorted(self._held)
