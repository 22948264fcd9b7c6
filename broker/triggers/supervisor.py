"""The supervisor: one source's life.

    ┌─▶ make ─▶ firings ─▶ emit ─▶ events on disk ─▶ confirm
    │                │ raises
    └── pause that grows ◀── drain, close

Guarantees: a firing is confirmed only after its events are on disk, or refused for good. However a source fails, nobody else notices: it is
made anew, and what it did not see confirmed it brings again under the same keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Sequence

import structlog

from ...schemas.errors import JetfleetError
from .emitter import Bound, Emitter
from .firing import Fate, Firing
from .source import Source, SourceBroken, Spec

BACKOFF_S, BACKOFF_MAX_S = 0.1, 30.0
BROKEN_S = 10.0
"""Between two attempts with a source that somebody has to do something about first."""
LIVED_S = 10.0
"""A source that has lived for so long is made anew after the shortest pause."""
DRAIN_S = 5.0
log = structlog.get_logger("jetfleet.triggers")

STARTING, LISTENING, PAUSED, FAILING = "starting", "listening", "paused", "failing"


class Supervisor:
    """`make` gives a new source each time. `bound` may change at any time."""

    def __init__(self, spec: Spec, make: Callable[[], Source], emitter: Emitter) -> None:
        self.spec = spec
        self.bound: Sequence[Bound] = spec.triggers
        self.source: Source | None = None
        self.error: str = ""
        self.fired = self.refused = self.restarts = 0
        self.last_at = 0
        """When it fired last, ms since the epoch; 0: never."""
        self.in_flight = 0
        self._make = make
        self._emitter = emitter
        self._going = asyncio.Event()
        self._going.set()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._made = asyncio.Event()

    @property
    def state(self) -> str:
        if not self._going.is_set():
            return PAUSED
        if self.error:
            return FAILING
        return LISTENING if self.source is not None else STARTING

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"trigger {self.spec.name}")

    async def stop(self) -> None:
        """Take no more, wait a while for what is in flight, close."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def pause(self) -> None:
        if self._going.is_set():
            self._going.clear()
            if self.source is not None:
                self.source.pause()

    def resume(self) -> None:
        if not self._going.is_set():
            self._going.set()
            if self.source is not None:
                self.source.resume()

    async def ready(self) -> Source:
        """The source, once there is one."""
        await self._made.wait()
        assert self.source is not None
        return self.source

    # --- a source's life, again and again

    async def _run(self) -> None:
        pause_s = BACKOFF_S
        while True:
            began = time.monotonic()
            try:
                await self._live()
                self.error = "its source came to an end"
            except asyncio.CancelledError:
                raise
            except JetfleetError as error:
                self.error = f"{error.code}: {error}"
                log.warning("a trigger's source failed", trigger=self.spec.name, type=self.spec.type, code=error.code, reason=str(error))
                if isinstance(error, SourceBroken):
                    pause_s = max(pause_s, BROKEN_S)
            except Exception as error:
                self.error = f"{type(error).__name__}: {error}"
                log.exception("a trigger's source failed unexpectedly", trigger=self.spec.name, type=self.spec.type)
            if time.monotonic() - began > LIVED_S:
                pause_s = BACKOFF_S
            self.restarts += 1
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, BACKOFF_MAX_S)

    async def _live(self) -> None:
        source = self._make()
        if not self._going.is_set():
            source.pause()
        self.source, self.in_flight = source, 0
        self._made.set()
        done = self._done_of(source)
        firings = source.firings()
        try:
            async for firing in firings:
                await self._until_room(source)
                self._fire(source, firing, done)
        finally:
            self._made.clear()
            source.pause()
            with contextlib.suppress(Exception):
                await firings.aclose()  # type: ignore[attr-defined]
            await self._drain()
            self.source = None
            await self._close(source)

    def _fire(self, source: Source, firing: Firing, done: Callable[[Firing, Fate], None]) -> None:
        self.fired += 1
        self.error = ""
        self.last_at = time.time_ns() // 1_000_000
        self.in_flight += 1
        self._emitter.emit(source, self.bound, firing, done)

    async def _until_room(self, source: Source) -> None:
        """A firing that is out already is held while the trigger is paused or too many are unconfirmed."""
        await self._going.wait()
        while self.in_flight >= source.in_flight_max:
            self._room.clear()
            await self._room.wait()
            await self._going.wait()

    def _done_of(self, source: Source) -> Callable[[Firing, Fate], None]:
        def done(firing: Firing, fate: Fate) -> None:
            if source is not self.source:
                return  # it was closed with this in flight, and its successor brings it again
            self.in_flight -= 1
            self.refused += bool(fate.refused)
            try:
                source.confirm(firing, fate)
            except Exception:
                log.exception("a source does not take a confirmation", trigger=self.spec.name, key=firing.key)
            self._room.set()

        return done

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self.in_flight > 0:
                    self._room.clear()
                    await self._room.wait()

    async def _close(self, source: Source) -> None:
        try:
            await source.close()
        except Exception as error:
            log.warning("a source does not close properly", trigger=self.spec.name, reason=repr(error))
