"""The filesystem trigger: a folder that is full when the trigger begins, and files that come one by one.

The files of a crowd are older than two seconds, so that they need not settle; its time begins when the flow is deployed that watches their
folder. One by one, files are handed over by a rename from a hidden name: `p50_ms` with `settle_ms: 0`, `settled_p50_ms` with the default.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from .load import percentile
from .trigger_stage import FLOW, VALUE_BYTES, Adapter, Stage

OLD_S = 2.5
"""Files that nobody has changed for so long need not settle."""


class Files(Adapter):
    events = 10_000
    window = 1_024
    """As the supervisor lets it."""

    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        self._stage, self._folders, self._count = stage, 0, 0
        stage.serve("filesystem")
        await self._watch(self._empty_folder(), settle_ms=0)

    async def prepare(self, count: int) -> None:
        """The flow goes first: else the time of a crowd would begin with the end of the source before it."""
        await self._stage.fleet.client.undeploy(FLOW)
        folder = self._empty_folder()
        for number in range(count):
            (folder / f"{number}.csv").write_text("x" * VALUE_BYTES)
        await asyncio.sleep(OLD_S)

    async def crowd(self, count: int) -> None:
        async with self._stage.arrivals() as arrivals:
            await self._deploy(settle_ms=0)
            await arrivals.on_disk(count)

    async def one(self) -> float:
        self._count += 1
        hidden = self._folder / ".half"
        hidden.write_text("x" * VALUE_BYTES)
        began = time.perf_counter()
        hidden.rename(self._folder / f"one-{self._count}.csv")
        return began

    async def more(self, stage: Stage, alone: int) -> dict[str, Any]:
        await self._watch(self._empty_folder())
        latencies_ms = await stage.alone(self.one, alone)
        return {"settled_p50_ms": percentile(latencies_ms, 0.5), "settled_p99_ms": percentile(latencies_ms, 0.99)}

    def _empty_folder(self) -> Path:
        self._folders += 1
        self._folder = self._stage.fleet.folder / f"inbox-{self._folders}"
        self._folder.mkdir()
        return self._folder

    async def _watch(self, folder: Path, **params: int) -> None:
        """Until a file in the folder has become an event: then it is watched."""
        async with self._stage.arrivals() as arrivals:
            await self._deploy(**params)
            await self.one()
            await arrivals.on_disk(1)

    async def _deploy(self, **params: int) -> None:
        await self._stage.deploy("filesystem", {"path": str(self._folder), **params})
