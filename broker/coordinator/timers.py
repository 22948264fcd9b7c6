"""Timers of a partition's runs: near ones on a heap in memory, far ones as schedules on the server.

A timer in memory costs no message until it fires. It needs no durability of its own: the state of its run says that it is set, and
a new owner builds the heap from there. One that is further away than HORIZON_MS when its run is written to a snapshot would fill memory for
days, so the server keeps it from then on (far_timers.py): a timeout of an hour on runs that take milliseconds never gets there.
Either way what fires is a TimerFired record in the WAL, never before its time by the wall clock.

The wall clock may be set while timers wait. So nobody sleeps for longer than LOOK_S: a clock that was set forward makes timers late by so
much at most, and one that was set back makes them wait for their time once more.

Clearing is best effort: a timer that fires all the same is stale by its attempt, and the engine ignores it.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterable
from itertools import count

from ...schemas.effects import SetTimer
from ...schemas.records import TimerFired, TimerId

HORIZON_MS = 10 * 60 * 1_000
"""How far ahead a timer may be and still be held in memory."""
EARLY_S = 0.001
"""The loop's clock and the wall clock differ by fractions of a millisecond; never fire early."""
LOOK_S = 1.0
FIRED_MAX = 500
"""Timers that fire before the loop serves others: fifty thousand may be due at once."""


class NearTimers:
    """A heap. `fire` is called with each timer that is due; `clock` gives the wall time in seconds since the epoch.

    None fires before `replace` was called: what is due while a WAL is being read may have fired further on in it.
    """

    def __init__(self, fire: Callable[[TimerFired], None], clock: Callable[[], float] = time.time) -> None:
        self._fire, self._clock = fire, clock
        self._heap: list[tuple[int, int, str, TimerId]] = []
        self._set: dict[tuple[str, TimerId], int] = {}
        self._numbers = count()
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_due = 0
        self._may_fire = False

    def __len__(self) -> int:
        return len(self._set)

    def set(self, effect: SetTimer) -> None:
        """Set a timer, or move it."""
        self._set[effect.run, effect.timer] = effect.due
        heapq.heappush(self._heap, (effect.due, next(self._numbers), effect.run, effect.timer))
        if self._may_fire and (self._alarm is None or effect.due < self._alarm_due):
            self._arm()

    def clear(self, run: str, timer: TimerId) -> int | None:
        """Forget a timer; when it was due, or None if it is not here."""
        due = self._set.pop((run, timer), None)
        if due is not None and len(self._heap) > 64 and len(self._heap) > 2 * len(self._set):
            self._sweep()
        return due

    def replace(self, timers: Iterable[SetTimer]) -> None:
        """Forget all timers and set these; from now on they fire."""
        self._may_fire = True
        self._set = {(effect.run, effect.timer): effect.due for effect in timers}
        self._sweep()
        self._arm()

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _sweep(self) -> None:
        """Rebuild the heap from what is set: cleared timers stay on it until half of it is theirs."""
        self._heap = [(due, next(self._numbers), run, timer) for (run, timer), due in self._set.items()]
        heapq.heapify(self._heap)

    def _arm(self) -> None:
        self.stop()
        if self._heap:
            self._alarm_due = self._heap[0][0]
            delay_s = max(0.0, self._alarm_due / 1_000 - self._clock()) + EARLY_S
            self._alarm = asyncio.get_running_loop().call_later(min(delay_s, LOOK_S), self._ring)

    def _ring(self) -> None:
        self._alarm = None
        now, left = int(self._clock() * 1_000), FIRED_MAX
        while left and self._heap and self._heap[0][0] <= now:
            due, _, run, timer = heapq.heappop(self._heap)
            if self._set.get((run, timer)) == due:
                del self._set[run, timer]
                self._fire(TimerFired(run, now, timer))
                left -= 1
        self._arm()
