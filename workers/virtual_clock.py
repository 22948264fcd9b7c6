"""Virtual time: a clock that stands still while anything works and jumps when everything waits.

A flow that waits for thirty days ends in milliseconds, with the same records as in real time. The runner tells the clock when nothing
is left to do at the present moment; only then does it move, to the earliest moment that somebody waits for.

Only waiting *through this clock* is skipped: the engine's timers, node timeouts, `context.clock.sleep`. A node that calls
`asyncio.sleep` or a real server really waits, and time stands still meanwhile.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count

from .slots import Job, current_job


class VirtualAlarm:
    """An alarm of a virtual clock."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """`start_ms`: what it shows at first, the machine's present time by default."""

    def __init__(self, start_ms: int | None = None) -> None:
        self._now_ms = time.time_ns() // 1_000_000 if start_ms is None else start_ms
        self._alarms: list[tuple[int, int, VirtualAlarm]] = []
        self._order = count()
        self.on_sleep: Callable[[], None] = _nothing
        """Called when somebody has gone to sleep: perhaps the last one who was awake."""

    def now_ms(self) -> int:
        return self._now_ms

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        sleeper = _Sleeper(current_job.get())
        alarm = self.call_at(self._now_ms + max(round(seconds * 1_000), 1), sleeper.wake)
        self.on_sleep()
        try:
            await sleeper.woken
        finally:
            alarm.cancel()
            sleeper.rise()

    def call_at(self, due_ms: int, callback: Callable[[], None]) -> VirtualAlarm:
        alarm = VirtualAlarm(callback)
        heapq.heappush(self._alarms, (max(due_ms, self._now_ms), next(self._order), alarm))
        return alarm

    def call_later(self, seconds: float, callback: Callable[[], None]) -> VirtualAlarm:
        return self.call_at(self._now_ms + max(round(seconds * 1_000), 0), callback)

    def advance(self) -> bool:
        """Jump to the earliest alarm and ring all that are due then. False: nobody waits for anything."""
        while self._alarms and self._alarms[0][2].callback is None:
            heapq.heappop(self._alarms)
        if not self._alarms:
            return False
        self._now_ms = self._alarms[0][0]
        while self._alarms and self._alarms[0][0] <= self._now_ms:
            alarm = heapq.heappop(self._alarms)[2]
            if alarm.callback is not None:
                callback, alarm.callback = alarm.callback, None
                callback()
        return True


class _Sleeper:
    """One sleep, counted in the attempt that it belongs to. `job` is None for a sleep of the program around the runner."""

    def __init__(self, job: Job | None) -> None:
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._job = job
        if job is not None:
            job.sleepers += 1

    def wake(self) -> None:
        self.rise()  # at work from this moment, though it goes on only in the next turn of the loop
        if not self.woken.done():
            self.woken.set_result(None)

    def rise(self) -> None:
        if self._job is not None:
            self._job.sleepers -= 1
            self._job = None


def _nothing() -> None:
    pass
