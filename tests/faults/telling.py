"""Processes that write into their log how many asyncio tasks they have, each time they get SIGUSR1."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

from ..fleet.children import Child

DEADLINE_S = 30
LOOK_S = 0.01
_TOLD = re.compile(r"^asyncio tasks of (\d+): (\d+)$", re.MULTILINE)


def wrap() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: _tell())


def _tell() -> None:
    os.write(2, f"\nasyncio tasks of {os.getpid()}: {len(asyncio.all_tasks())}\n".encode())


async def tasks_of(child: Child) -> int:
    """How many it has now."""
    before = len(_told_by(child))
    os.kill(child.pid, signal.SIGUSR1)
    ends_at = time.monotonic() + DEADLINE_S
    while len(told := _told_by(child)) == before:
        assert time.monotonic() < ends_at, f"{child.name} does not say how many tasks it has:\n{child.last_lines()}"
        await asyncio.sleep(LOOK_S)
    return told[-1]


def _told_by(child: Child) -> list[int]:
    said = Path(child.order["log"]).read_text(errors="replace")
    return [int(count) for pid, count in _TOLD.findall(said) if int(pid) == child.pid]
