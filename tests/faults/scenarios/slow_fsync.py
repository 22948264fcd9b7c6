"""F9: every fsync of the server takes 300 ms longer for a while: everything goes on, more slowly."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from ..judge import judge
from ..machine.tracing import FSYNC, injected
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, Shape, world

TIMES, TIMES_QUICK = 5, 1
RATE = 20
WARM = 20
DELAY_US, SLOW_S = 300_000, 5.0


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    with tempfile.TemporaryDirectory(prefix="jetfleet-fsync-") as folder:
        async with world(Shape(rate=RATE, triggers=0, data=Path(folder) / "store"), settings.seed) as one:
            one.publish()
            for _ in range(times):
                await one.ended(len(one.watcher.ends) + WARM)
                strike = one.struck("slow_fsync", SERVER)
                with injected(strike.pid, FSYNC, f"delay_enter={DELAY_US}"):
                    await asyncio.sleep(SLOW_S)
                one.ledger.healed("slow_fsync server")
            return await judge("slow_fsync", times, one)
