"""A deadline by the worker's clock: `with Deadline(clock, timeout_ms) as deadline` cancels its body when time is up.

Like `asyncio.timeout`, whose rules it follows, but for two things: the time is the clock's, so that a simulation's timeouts happen in
the simulation's time; and it costs a third, because every attempt on the event loop has one. The body ends by TimeoutError;
`expired` tells this deadline's end from a TimeoutError of the body's own.

In virtual time the same span of real time is a deadline too: a body that really waits keeps the virtual clock from moving.
A body that does not heed its cancellation is not ended by anything: after a grace its job, if it belongs to one, is told.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from .clock import Alarm, Clock, SystemClock
from .slots import GRACE_S, current_job


class Deadline:
    """For one use, around awaits of the current task. `timeout_ms` counts from the moment of entering."""

    __slots__ = ("_alarms", "_cancelling", "_clock", "_job", "_task", "expired", "timeout_ms")

    def __init__(self, clock: Clock, timeout_ms: int) -> None:
        self.timeout_ms = timeout_ms
        self.expired = False
        self._clock = clock

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None, "a deadline needs a task that it can cancel"
        self._task = task
        self._cancelling = task.cancelling()
        self._job = current_job.get()
        timeout_s = self.timeout_ms / 1_000
        self._alarms: list[Alarm] = [self._clock.call_later(timeout_s, self._expire)]
        if not isinstance(self._clock, SystemClock):
            self._alarms.append(asyncio.get_running_loop().call_later(timeout_s, self._expire))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for alarm in self._alarms:
            alarm.cancel()
        # Only our own cancellation becomes a timeout. If somebody else wants the task gone too, it must stay cancelled.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        if self.expired:
            return
        self.expired = True
        self._task.cancel()
        if self._job is not None:
            # In real time: a body that goes on does so in real time, and a virtual clock stands still meanwhile.
            self._alarms.append(asyncio.get_running_loop().call_later(GRACE_S, self._job.overran, self.timeout_ms))
