"""Patience: goes on trying while the broker is away or its store is full, for as long as anything moves now and then.

Everything that is tried here can be repeated: chunks and pins are the same each time, and metas are changed by compare-and-set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ...schemas.payload_errors import ObjectsFull
from ..client import BrokerError, StreamFull, Unknown

PATIENCE_S = 30.0
_PAUSE_S, _PAUSE_MAX_S = 0.05, 1.0

Value = TypeVar("Value")


class Patience:
    """For one put or get; the attempts that run at a time share it. `limit_s`: without a single success for so long, it gives up."""

    def __init__(self, limit_s: float = PATIENCE_S) -> None:
        self.limit_s = limit_s
        self._renew()

    async def insist(self, attempt: Callable[[], Awaitable[Value]]) -> Value:
        """What the attempt gives in the end. Raises ObjectsFull, or Unknown, when patience is over; any other error at once."""
        while True:
            failure: Exception
            try:
                value = await attempt()
            except StreamFull as error:
                failure = full(error)
            except Unknown as error:
                failure = error
            else:
                self._renew()
                return value
            await self._pause(failure)

    def _renew(self) -> None:
        self._end_s = asyncio.get_running_loop().time() + self.limit_s
        self._pause_s = _PAUSE_S

    async def _pause(self, failure: Exception) -> None:
        left_s = self._end_s - asyncio.get_running_loop().time()
        if left_s <= 0:
            raise failure
        await asyncio.sleep(min(self._pause_s, left_s))
        self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)


def full(error: BrokerError) -> ObjectsFull:
    return ObjectsFull(
        f"the object store has no room ({error}). Objects go when the runs that need them are over; or raise `max_bytes` of the stream "
        "OBJECTS, or keep payloads elsewhere (JETFLEET_OBJECTS=s3://…)"
    )
