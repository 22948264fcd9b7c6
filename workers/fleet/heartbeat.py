"""The heartbeat: says of every message in work that somebody is at it, so that it is not given to another worker.

One timer for all. A message that is done within a third of `ack_wait` costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import monotonic

from .unit import UnitOfWork

BEATS_PER_WAIT = 3
"""Two may be late or lost before the server takes the message away."""


class Heartbeat:
    """Beats for the messages that are in `units` at the time. `ack_wait_s` is the consumers' shortest."""

    def __init__(self, units: Collection[UnitOfWork], ack_wait_s: float) -> None:
        self._units = units
        self.interval_s = ack_wait_s / BEATS_PER_WAIT

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self.interval_s)
            await self.run_once(monotonic())

    async def run_once(self, now_s: float) -> None:
        for unit in [unit for unit in self._units if now_s - unit.since >= self.interval_s]:
            await unit.message.in_progress()
