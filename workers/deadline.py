"""A deadline by the worker's clock: `async with Deadline(clock, timeout_ms) as deadline` cancels its body when time is up.

Like `asyncio.timeout`, but the time is the clock's, so that a simulation's timeouts happen in the simulation's time. The body ends
by TimeoutError; `expired` tells this deadline's end from a TimeoutError of the body's own.
"""

from __future__ import annotations

import asyncio
from types import TracebackType

from .clock import Clock


class Deadline:
    """For one use. `timeout_ms` counts from the moment of entering."""

    __slots__ = ("_alarm", "_clock", "_timeout", "timeout_ms")

    def __init__(self, clock: Clock, timeout_ms: int) -> None:
        self.timeout_ms = timeout_ms
        self._clock = clock
        self._timeout = asyncio.timeout(None)

    @property
    def expired(self) -> bool:
        return self._timeout.expired()

    async def __aenter__(self) -> Deadline:
        await self._timeout.__aenter__()
        self._alarm = self._clock.call_later(self.timeout_ms / 1_000, self._expire)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._alarm.cancel()
        await self._timeout.__aexit__(kind, error, trace)

    def _expire(self) -> None:
        self._timeout.reschedule(asyncio.get_running_loop().time())
