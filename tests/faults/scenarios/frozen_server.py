"""F6: the server stands still (SIGSTOP) for one to eight seconds: it neither answers nor hangs up."""

from __future__ import annotations

import asyncio

from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, Shape, world

TIMES, TIMES_QUICK = 10, 1
FROZEN_S, FROZEN_QUICK_S = (1.0, 8.0), (2.0, 4.0)
RATE = 40
BETWEEN_RUNS = 30


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    async with world(Shape(rate=RATE), settings.seed) as one:
        one.publish()
        for _ in range(times):
            await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
            one.freeze(SERVER)
            await asyncio.sleep(one.random.uniform(*(FROZEN_QUICK_S if settings.quick else FROZEN_S)))
            one.thaw(SERVER)
        await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
        return await judge("frozen_server", times, one)
