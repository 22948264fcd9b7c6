"""The arena of a runner in this process: a temporary folder, made when the first large value is met, that goes with the runner.

What ended runs have left is freed whenever enough has been written since the last time.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from ..broker.arena.keeper import Keeper
from ..broker.arena.settings import ArenaSettings
from ..broker.payloads.plane import Plane
from ..schemas.payload_errors import PayloadError

SWEEP_AFTER_BYTES = 64 << 20


class LocalArena:
    """`is_live` says of a run's id whether the run is still open."""

    def __init__(self, is_live: Callable[[str], bool]) -> None:
        folder = Path(tempfile.gettempdir()) / f"jetfleet-{uuid.uuid4().hex[:16]}"
        self.plane = Plane(ArenaSettings(folder, keep_s=0))
        self._is_live = is_live
        self._swept_bytes = 0
        self._sweeping: asyncio.Task[None] | None = None

    def run_ended(self) -> None:
        written = self.plane.counters.written
        if written - self._swept_bytes >= SWEEP_AFTER_BYTES and self._sweeping is None:
            self._swept_bytes = written
            self._sweeping = asyncio.get_running_loop().create_task(self._sweep())

    async def close(self) -> None:
        """Remove the folder. Views of values that somebody still holds stay readable."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeping
        self.plane.close()
        if self.plane.settings is not None:
            shutil.rmtree(self.plane.settings.folder, ignore_errors=True)

    async def _sweep(self) -> None:
        assert self.plane.settings is not None
        keeper = Keeper(self.plane.settings)
        try:
            if keeper.acquire():
                await keeper.sweep(self._over)
        except (PayloadError, OSError) as error:
            structlog.get_logger("jetfleet.arena").warning("values of ended runs were not freed", error=str(error))
        finally:
            keeper.release()
            self._sweeping = None

    async def _over(self, runs: set[str]) -> set[str]:
        return {run for run in runs if not any(map(self._is_live, _with_parents(run)))}


def _with_parents(run: str) -> list[str]:
    """A sub-flow's id continues that of the run it belongs to, which may still need what the sub-flow gave it."""
    steps = run.split(".")
    return [".".join(steps[:count]) for count in range(1, len(steps) + 1)]
