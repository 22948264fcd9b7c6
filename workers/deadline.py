"""A deadline by the worker's clock: `with Deadline(clock, timeout_ms) as deadline` cancels its body when time is up.

Like `asyncio.timeout`, whose rules it follows, but for two things: the time is the clock's, so that a simulation's timeouts happen in
the simulation's time; and it costs a third, because every attempt on the event loop has one. The body ends by TimeoutError;
`expired` tells this deadline's end from a TimeoutError of the body's own.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from .clock import Clock


class Deadline:
    """For one use, around awaits of the current task. `timeout_ms` counts from the moment of entering."""

    __slots__ = ("_alarm", "_cancelling", "_clock", "_task", "expired", "timeout_ms")

    def __init__(self, clock: Clock, timeout_ms: int) -> None:
        self.timeout_ms = timeout_ms
        self.expired = False
        self._clock = clock

    def __enter__(self) -> Deadline:
        task = asyncio.current_task()
        assert task is not None, "a deadline needs a task that it can cancel"
        self._task = task
        self._cancelling = task.cancelling()
        self._alarm = self._clock.call_later(self.timeout_ms / 1_000, self._expire)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._alarm.cancel()
        # Only our own cancellation becomes a timeout. If somebody else wants the task gone too, it must stay cancelled.
        if self.expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def _expire(self) -> None:
        self.expired = True
        self._task.cancel()
