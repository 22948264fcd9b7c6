"""Endings: who waits for the end of which run.

A run's end is told on `ended.<p>`, once and to whoever listens at that moment. So a client listens before it publishes; and because a
notice can be missed (a reconnect, a run that had ended long before), who still waits after a second asks, again and again, less and less
often.

    watched ──notice──────────────▶ ended
       └──waited for──▶ asked ──────▲
                          └─ still open: asked again later
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol
from weakref import WeakValueDictionary

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.errors import JetfleetError, UnreadableRecord
from ...schemas.messages import FAILURES, Ended, decode, split
from ..client import Connection, Message, Subscription
from ..read_model.errors import ReaderAbsent
from .errors import NotEnded
from .inspection import ended, tells_all
from .result import Result

ASK_FIRST_S, ASK_GROWTH, ASK_LAST_S = 1.0, 1.5, 15.0
"""When a waited-for run is asked about first, and how the intervals grow from there."""
ASKED_AT_ONCE = 32

log = structlog.get_logger("jetfleet.client")
_notices = msgspec.msgpack.Decoder(list[Ended])


class Ask(Protocol):
    async def __call__(self, run: str, *, has_ended: bool = False, after: int = 0) -> Result | None: ...


class Ending:
    """The end of one run, shared by all who are interested. `result` is None as long as nobody told.

    `has_ended`: a notice said so, and left a large output out. `after`: the life that is meant began behind so many records of the journal,
    or later: a run that was reopened has ended before.
    """

    __slots__ = ("__weakref__", "after", "ask_after_s", "ask_at", "has_ended", "result", "run", "waiters")

    def __init__(self, run: str, after: int = 0) -> None:
        self.run = run
        self.after = after
        self.result: Result | None = None
        self.waiters: set[asyncio.Future[Result]] = set()
        self.ask_at = 0.0
        self.ask_after_s = ASK_FIRST_S
        self.has_ended = False

    def settle(self, how: Result | JetfleetError) -> None:
        if isinstance(how, Result):
            self.result = how
        for waiter in self.waiters:
            if not waiter.done():
                waiter.set_result(how) if isinstance(how, Result) else waiter.set_exception(how)
        self.waiters.clear()


class Endings:
    """`ask` says how a run ended, None while it is open; it raises ReaderAbsent where waiting longer cannot help."""

    def __init__(self, connection: Connection, partitions: int, ask: Ask) -> None:
        self._connection = connection
        self._partitions = partitions
        self._ask = ask
        self._endings: WeakValueDictionary[str, Ending] = WeakValueDictionary()  # nobody interested any more: no memory of it
        self._waited_for: dict[Ending, None] = {}
        self._subscribed: dict[int, asyncio.Task[Subscription]] = {}
        self._asker: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        connection.on_reconnect.append(self._ask_soon)

    async def watch(self, run: str, after: int = 0) -> Ending:
        """From now on the run's end is noticed. Keep what is returned as long as it is of interest. `after`: as in Ending."""
        partition = subjects.partition_of(run, self._partitions)
        subscribed = self._subscribed.get(partition)
        if subscribed is None:
            subscribing = self._connection.subscribe(subjects.ended(partition), self._take)
            subscribed = self._subscribed[partition] = asyncio.ensure_future(subscribing)
        if not subscribed.done():
            await asyncio.shield(subscribed)
        ending = self._endings.get(run)
        if ending is None or ending.after < after:  # who waits for the life before has been told, or is told when it asks
            ending = self._endings[run] = Ending(run, after)
        return ending

    async def wait(self, ending: Ending, timeout_s: float | None) -> Result:
        """How the run ended. Raises NotEnded after `timeout_s` seconds."""
        if ending.result is not None:
            return ending.result
        waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        ending.waiters.add(waiter)
        self._waited_for[ending] = None
        if ending.ask_at:
            self._hurry.set()
        else:
            ending.ask_at = time.monotonic() + ASK_FIRST_S
        if self._asker is None:
            self._asker = asyncio.create_task(self._keep_asking())
        try:
            async with asyncio.timeout(timeout_s):
                return await waiter
        except TimeoutError:
            raise NotEnded(ending.run, timeout_s or 0) from None
        finally:
            ending.waiters.discard(waiter)
            if not ending.waiters:
                self._waited_for.pop(ending, None)

    def ask_now(self, ending: Ending) -> None:
        """Ask as soon as somebody waits."""
        ending.ask_at, ending.ask_after_s = time.monotonic(), ASK_FIRST_S / 8
        self._hurry.set()

    async def close(self) -> None:
        if self._ask_soon in self._connection.on_reconnect:
            self._connection.on_reconnect.remove(self._ask_soon)
        if self._asker is not None:
            self._asker.cancel()
            await asyncio.gather(self._asker, return_exceptions=True)
        for subscribed in self._subscribed.values():
            subscribed.cancel()

    # --- notices

    def _take(self, message: Message) -> None:
        for notice in _read(message.data):
            ending = self._endings.get(notice.run)
            if ending is None or ending.result is not None or notice.reopened < ending.after:
                continue
            if tells_all(notice):
                ending.settle(ended(notice))
            else:
                ending.has_ended = True
                self.ask_now(ending)

    # --- asking

    def _ask_soon(self) -> None:
        """After a reconnect: notices may have been missed."""
        for ending in self._waited_for:
            self.ask_now(ending)

    async def _keep_asking(self) -> None:
        while True:
            now = time.monotonic()
            due = [ending for ending in self._waited_for if ending.ask_at <= now]
            for start in range(0, len(due), ASKED_AT_ONCE):
                await asyncio.gather(*map(self._ask_about, due[start : start + ASKED_AT_ONCE]))
            await self._pause()

    async def _pause(self) -> None:
        """Until the next one is due, somebody is in a hurry, or a second has passed."""
        soonest = min((ending.ask_at for ending in self._waited_for), default=float("inf"))
        self._hurry.clear()
        try:
            async with asyncio.timeout(min(max(soonest - time.monotonic(), 0.0), ASK_FIRST_S)):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def _ask_about(self, ending: Ending) -> None:
        ending.ask_after_s = min(ending.ask_after_s * ASK_GROWTH, ASK_LAST_S)
        ending.ask_at = time.monotonic() + ending.ask_after_s
        try:
            result = await self._ask(ending.run, has_ended=ending.has_ended, after=ending.after)
        except ReaderAbsent as error:
            ending.settle(error)
        except JetfleetError as error:  # the broker is away, the index behind: that passes
            log.debug("nobody can tell how a run ended yet", run=ending.run, code=error.code, error=str(error))
        else:
            if result is not None and ending.result is None:
                ending.settle(result)


def _read(data: bytes) -> list[Ended]:
    """The notices of a message, without those that a newer version wrote in a way this one cannot read."""
    try:
        return _notices.decode(data)
    except FAILURES:
        pass
    return [notice for entry in _entries(data) if (notice := _readable(entry)) is not None]


def _entries(data: bytes) -> list[msgspec.Raw]:
    try:
        return split(data)
    except UnreadableRecord as error:
        log.debug("notices that cannot be read", error=str(error))
        return []


def _readable(entry: msgspec.Raw) -> Ended | None:
    try:
        return decode(Ended, bytes(entry))
    except UnreadableRecord as error:
        log.debug("a notice that cannot be read", error=str(error))
        return None
