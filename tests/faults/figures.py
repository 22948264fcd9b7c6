"""Figures of a world's processes: memory, open files, asyncio tasks, and what is left in streams that must be empty when nothing is to be done."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from jetfleet.schemas import subjects

from .evidence import Usage
from .telling import tasks_of
from .world import World

MIB = 1 << 20
PAGE_BYTES = 4096
COMES_AGAIN_S, LOOK_S = 60, 0.1
DRAINED = (subjects.EVENTS, subjects.TASKS, subjects.TIMERS)


class Figures:
    """Those of before, when `begin` was called, and of later, when asked: `seen`. Of processes that were started anew in between there are none.

    The processes are wrapped by `telling.py`.
    """

    def __init__(self, one: World, *roles: str) -> None:
        self._world, self._roles = one, roles
        self._before: dict[str, float] = {}
        self.seen: list[Usage] = []

    async def begin(self) -> None:
        self._before = await self._look()

    async def now(self) -> list[Usage]:
        """Before and after, of all that were there before."""
        after = await self._look()
        self.seen = [Usage(what, before, after[what]) for what, before in self._before.items() if what in after]
        return self.seen

    async def _look(self) -> dict[str, float]:
        found = {}
        for name in self._world.alive(*self._roles):
            child = self._world.children[name]
            pid = child.pid
            found[f"{name} (pid {pid}): resident bytes"] = float(resident_bytes(pid))
            found[f"{name} (pid {pid}): open files"] = float(open_files(pid))
            found[f"{name} (pid {pid}): asyncio tasks"] = float(await tasks_of(child))
        return found


async def left_in_streams(one: World) -> list[str]:
    """Messages that should have been taken: none, when nothing is to be done. One whose acknowledgement was lost comes once more, a little later."""
    ends_at = time.monotonic() + COMES_AGAIN_S
    while (left := await _left_now(one)) and time.monotonic() < ends_at:
        await asyncio.sleep(LOOK_S)
    return left


async def _left_now(one: World) -> list[str]:
    found = []
    for stream in DRAINED:
        info = await one.connection.streams.stream_info(stream)
        left = 0 if info is None else int(info["state"]["messages"])
        allowed = 1 if stream == subjects.TASKS else 0  # the message that names the epoch
        if left > allowed:
            found.append(f"{left} messages are left in {stream}, although nothing is to be done")
    return found


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
