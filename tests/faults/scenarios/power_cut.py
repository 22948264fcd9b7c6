"""F7: the machine of the server loses power under load, with the default settings: what was not flushed is gone, what was acknowledged is not."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from ..judge import judge
from ..machine.loop_disk import LoopDisk, loop_disk
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, Shape, World, world

CUTS, CUTS_QUICK = 10, 1
RATE = 60
WARM = 20
"""So many runs have ended before the first cut, and between two: who is cut off for good recovers from nothing."""
BETWEEN_S, DARK_S = (0.3, 2.0), (0.0, 0.5)


async def play(settings: Settings) -> Outcome:
    cuts = settings.count(CUTS, CUTS_QUICK)
    with tempfile.TemporaryDirectory(prefix="jetfleet-power-") as folder, loop_disk(Path(folder)) as disk:
        async with world(Shape(rate=RATE, data=disk.path / "store"), settings.seed) as one:
            one.publish()
            for _ in range(cuts):
                await one.ended(len(one.watcher.ends) + WARM)
                await asyncio.sleep(one.random.uniform(*BETWEEN_S))
                await cut_power(one, disk)
            return await judge("power_cut", cuts, one)


async def cut_power(one: World, disk: LoopDisk) -> None:
    """Of the server's machine: at one stroke it computes nothing more, and nothing more reaches its disk. After a while it comes up again.

    First the process, then the disk: a server that lives on when its disk has failed may still acknowledge the message that it failed on,
    which a machine without power does not.
    """
    one.struck("power_cut", SERVER)
    one.children[SERVER].freeze()
    disk.lose_power()
    one.children[SERVER].kill()
    await asyncio.sleep(one.random.uniform(*DARK_S))
    await asyncio.to_thread(disk.restore)
    await one.start_server()
    one.ledger.healed("power_cut server")
