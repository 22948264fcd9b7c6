"""The memory trigger, served by the process that fires it: 256 calls at a time."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from jetfleet.triggers import Triggers, inject

from .load import drive
from .trigger_stage import FLOW, TRIGGER, VALUE_BYTES, Adapter, Stage


class Memory(Adapter):
    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        await stage.deploy("memory", {})
        self._triggers = await stack.enter_async_context(Triggers(stage.fleet.client, types=("memory",), data=stage.fleet.folder))

    async def crowd(self, count: int) -> None:
        await drive(self._fire, count, self.window, 1)

    async def one(self) -> float:
        began = time.perf_counter()
        await self._fire(0)
        return began

    async def _fire(self, number: int) -> None:
        await inject(self._triggers, FLOW, TRIGGER, {"n": number, "note": "x" * VALUE_BYTES})
