"""F8: the server's disk is full in the middle of the load. The doctor names it; room and a restart of the server are enough; nothing is lost."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from ..ailing import named, restarted
from ..judge import judge
from ..machine.small_disk import small_disk
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, Shape, world

TIMES, TIMES_QUICK = 5, 1
DISK_BYTES, LEFT_BYTES = 256 << 20, 64 << 10
RATE = 30
WARM = 20
FULL_S = 2.0


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    told: list[str] = []
    with tempfile.TemporaryDirectory(prefix="jetfleet-full-") as folder, small_disk(Path(folder) / "disk", DISK_BYTES) as disk:
        async with world(Shape(rate=RATE, triggers=0, data=disk.path / "store"), settings.seed) as one:
            one.publish()
            for _ in range(times):
                await one.ended(len(one.watcher.ends) + WARM)
                one.struck("disk_full", SERVER)
                disk.fill(LEFT_BYTES)
                await asyncio.sleep(FULL_S)
                told += await named(one, "no space left on device")
                disk.free()
                await restarted(one, "disk_full")
            outcome = await judge("disk_full", times, one)
    outcome.complaints += told
    return outcome
