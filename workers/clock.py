"""The clock that a worker lives by: a seam, so that tests and simulations can bring their own time.

`now_ms` is wall time, for records and for people. Durations are measured with `time.perf_counter` where they are
measured and never by subtracting two wall times, which a clock adjustment would falsify.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Alarm(Protocol):
    """A callback that will be called, unless it is cancelled first."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """What is asked of a clock."""

    def now_ms(self) -> int:
        """Wall time in milliseconds since the epoch, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Return after that many seconds of this clock's time; at once for zero or less."""

    def call_at(self, due_ms: int, callback: Callable[[], None]) -> Alarm:
        """Call back in the running event loop when the clock shows `due_ms`, never earlier; soon if it does already."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        """Call back after that much of this clock's time: for durations, which an adjusted wall clock must not change."""


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0.0))

    def call_at(self, due_ms: int, callback: Callable[[], None]) -> Alarm:
        return _SystemAlarm(self, due_ms, callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Alarm:
        return asyncio.get_running_loop().call_later(seconds, callback)


ALARM_STEP_MAX_S = 3_600.0
"""Longest time that an alarm trusts the monotonic clock: a changed wall clock is noticed within the hour."""


class _SystemAlarm:
    def __init__(self, clock: SystemClock, due_ms: int, callback: Callable[[], None]) -> None:
        self._clock, self._due_ms, self._callback = clock, due_ms, callback
        self._loop = asyncio.get_running_loop()
        self._arm()

    def cancel(self) -> None:
        self._handle.cancel()

    def _arm(self) -> None:
        left_s = (self._due_ms - self._clock.now_ms()) / 1_000
        self._handle = self._loop.call_later(min(max(left_s, 0.0), ALARM_STEP_MAX_S), self._ring)

    def _ring(self) -> None:
        if self._clock.now_ms() < self._due_ms:
            self._arm()
        else:
            self._callback()
