"""F9: fsync fails with EIO for a while. No false acknowledgement, the doctor names it, and a restart of the server is enough."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from ..ailing import named, restarted
from ..judge import judge
from ..machine.tracing import FSYNC, injected
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, Shape, world

TIMES, TIMES_QUICK = 5, 1
RATE = 20
WARM = 20
BROKEN_S = 2.0


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    told: list[str] = []
    with tempfile.TemporaryDirectory(prefix="jetfleet-fsync-") as folder:
        async with world(Shape(rate=RATE, triggers=0, data=Path(folder) / "store"), settings.seed) as one:
            one.publish()
            for _ in range(times):
                await one.ended(len(one.watcher.ends) + WARM)
                strike = one.struck("fsync_error", SERVER)
                with injected(strike.pid, FSYNC, "error=EIO"):
                    await asyncio.sleep(BROKEN_S)
                    told += await named(one, "input/output error")
                await restarted(one, "fsync_error")
            outcome = await judge("fsync_error", times, one)
    outcome.complaints += told
    return outcome
