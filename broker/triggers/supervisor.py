"""The supervisor: one source's life.

    ┌─▶ make ─▶ firings ─▶ emit ─▶ events on disk ─▶ confirm
    │                │ raises
    └── pause that grows ◀── drain, close

Guarantees: a firing is confirmed only after its events are on disk, or refused for good. However a source fails, nobody else notices: it is
made anew, and what it did not see confirmed it brings again under the same keys. A source that was made is closed, also when its end is
asked for while it is failing; one that does not let itself be closed is left to itself after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence

import structlog

from ...schemas.errors import JetfleetError
from .emitter import Bound, Emitter
from .firing import Fate, Firing
from .pauses import LIVED_S, Pauses
from .source import Source, SourceBroken, SourceFailed, Spec

DRAIN_S, CLOSE_S = 5.0, 3.0
END_S = DRAIN_S + 3 * CLOSE_S
"""An end takes no longer: who ends a process waits for a quarter of a minute before it kills."""
log = structlog.get_logger("jetfleet.triggers")

STARTING, LISTENING, PAUSED, FAILING = "starting", "listening", "paused", "failing"


class Supervisor:
    """`make` gives a new source each time. `bound` may change at any time. `error`: why the last source failed, "" since it fires again."""

    def __init__(self, spec: Spec, make: Callable[[], Source], emitter: Emitter) -> None:
        self.spec = spec
        self.source: Source | None = None
        self.error: str = ""
        self.fired = self.refused = self.restarts = 0
        self.last_at = 0
        """When it fired last, ms since the epoch; 0: never."""
        self.in_flight = 0
        self._bound: Sequence[Bound] = spec.triggers
        self._make = make
        self._emitter = emitter
        self._going = asyncio.Event()
        self._going.set()
        self._source_paused = False
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        self._letting_go = False
        self._born = 0.0
        self._waiting: set[asyncio.Future[Source]] = set()

    @property
    def bound(self) -> Sequence[Bound]:
        """The triggers that listen."""
        return self._bound

    @bound.setter
    def bound(self, bound: Sequence[Bound]) -> None:
        if tuple(bound) != tuple(self._bound):
            self._bound = bound
            self._tell_bound()

    @property
    def state(self) -> str:
        if not self._going.is_set():
            return PAUSED
        if self.error and (self.source is None or time.monotonic() - self._born < LIVED_S):
            return FAILING
        return LISTENING if self.source is not None else STARTING

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"trigger {self.spec.name}")

    async def stop(self) -> None:
        """Take no more, wait a while for what is in flight, close. Goes on to its end also when who asked for it is cancelled."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end(), name=f"end of trigger {self.spec.name}")
        await asyncio.shield(self._ending)

    def pause(self) -> None:
        self._going.clear()
        self._tell_source()

    def resume(self) -> None:
        self._going.set()
        self._tell_source()

    async def ready(self) -> Source:
        """The source, once there is one. Raises SourceFailed if none could be made, or none will be any more."""
        if self.source is not None and not self._letting_go:
            return self.source
        if self._ending is not None:
            raise self._no_source(_ENDED)
        if self.source is None and self.error:
            raise self._no_source(self.error)
        waiter: asyncio.Future[Source] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            return await waiter
        finally:
            self._waiting.discard(waiter)

    # --- a source's life, again and again

    async def _run(self) -> None:
        pauses = Pauses()
        while self._ending is None:
            began, broken = time.monotonic(), False
            try:
                await self._live()
                self.error = "its source came to an end"
            except asyncio.CancelledError as error:
                if self._ending is not None or _is_cancelled():
                    raise
                self.error = f"something that its source waited for was cancelled: {error!r}"  # which is not our end
                log.exception("a trigger's source failed unexpectedly", trigger=self.spec.name, type=self.spec.type)
            except JetfleetError as error:
                self.error, broken = f"{error.code}: {error}", isinstance(error, SourceBroken)
                log.warning("a trigger's source failed", trigger=self.spec.name, type=self.spec.type, code=error.code, reason=str(error))
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                log.exception("a trigger's source failed unexpectedly", trigger=self.spec.name, type=self.spec.type)
            if self._ending is None:
                self._give_up_waiting(self.error)
                self.restarts += 1
                await asyncio.sleep(pauses.after(time.monotonic() - began, broken=broken))

    async def _live(self) -> None:
        source, firings = self._made(), None
        try:
            firings = source.firings()
            async for firing in firings:
                await self._until_room(source)
                self._fire(source, firing)
        finally:
            self._letting_go = True
            await self._let_go(source, firings)
            self._letting_go = False

    def _made(self) -> Source:
        source = self._make()
        self.source, self.in_flight, self._source_paused, self._born = source, 0, False, time.monotonic()
        self._tell_bound()
        self._tell_source()
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(source)
        return source

    def _fire(self, source: Source, firing: Firing) -> None:
        self.fired += 1
        self.error = ""
        self.last_at = time.time_ns() // 1_000_000
        self.in_flight += 1
        bound = self.bound if firing.only is None else firing.only
        self._emitter.emit(source, bound, firing, lambda firing, fate: self._done(source, firing, fate))

    async def _until_room(self, source: Source) -> None:
        """A firing that is out already is held while the trigger is paused or too many are unconfirmed."""
        await self._going.wait()
        while self.in_flight >= source.in_flight_max:
            self._room.clear()
            await self._room.wait()
            await self._going.wait()

    def _done(self, source: Source, firing: Firing, fate: Fate) -> None:
        if source is not self.source:
            return  # it was closed with this in flight, and its successor brings it again
        self.in_flight -= 1
        self.refused += bool(fate.refused)
        try:
            source.confirm(firing, fate)
        except Exception:
            log.exception("a source does not take a confirmation", trigger=self.spec.name, key=firing.key)
        self._room.set()

    def _tell_source(self) -> None:
        """`pause` and `resume` come in turn, and none of them once the source is about to be closed."""
        source, paused = self.source, not self._going.is_set()
        if source is None or self._letting_go or self._source_paused == paused:
            return
        self._source_paused = paused
        try:
            source.pause() if paused else source.resume()
        except Exception:
            log.exception("a source cannot be paused or resumed", trigger=self.spec.name, paused=paused)

    def _tell_bound(self) -> None:
        if self.source is None or self._letting_go:
            return
        try:
            self.source.bound(self._bound)
        except Exception:
            log.exception("a source cannot be told who listens", trigger=self.spec.name)

    # --- its end

    async def _end(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            if not self._letting_go:  # which must not be cut off half way
                task.cancel()
            _, pending = await asyncio.wait([task], timeout=END_S)
            if pending:
                log.error("a source does not end; it is left to itself", trigger=self.spec.name, type=self.spec.type)
        self._give_up_waiting(_ENDED)

    async def _let_go(self, source: Source, firings: AsyncIterator[Firing] | None) -> None:
        if not self._source_paused:
            self._source_paused = True
            with self._complaining("pause"):
                source.pause()
        with self._complaining("end its firings"):
            async with asyncio.timeout(CLOSE_S):
                await _closed(firings)
        await self._drain()
        self.source = None
        with self._complaining("close"):
            async with asyncio.timeout(CLOSE_S):
                await source.close()

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self.in_flight > 0:
                    self._room.clear()
                    await self._room.wait()

    @contextlib.contextmanager
    def _complaining(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            log.warning("a source does not let go properly", trigger=self.spec.name, at=what, reason=repr(error))

    def _give_up_waiting(self, why: str) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._no_source(why))

    def _no_source(self, why: str) -> SourceFailed:
        return SourceFailed(f"trigger {self.spec.name} has no source: {why}")


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _closed(firings: AsyncIterator[Firing] | None) -> None:
    """An iterator that is no generator has nothing to close."""
    if isinstance(firings, AsyncGenerator):
        await firings.aclose()


_ENDED = "it is not served here any more"
