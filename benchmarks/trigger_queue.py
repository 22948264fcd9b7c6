"""The queue trigger: this process sends messages, 256 at a time, and the coordinator makes events of them."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from .load import drive
from .trigger_stage import VALUE_BYTES, Adapter, Stage

NAME, CAPACITY = "orders", 1_000_000


class Messages(Adapter):
    events = 10_000

    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        self._stage, self._queue = stage, stage.fleet.client.queue(NAME)
        await stage.deploy("queue", {"name": NAME, "capacity": CAPACITY})

    async def crowd(self, count: int) -> None:
        async with self._stage.arrivals() as arrivals:
            await drive(self._send, count, self.window, 1)
            await arrivals.on_disk(count)

    async def one(self) -> float:
        began = time.perf_counter()
        await self._send(0)
        return began

    async def _send(self, number: int) -> None:
        await self._queue.send({"n": number, "note": "x" * VALUE_BYTES})
