"""F3: every process is killed at once, and all are started again in any order; now and then they are killed once more while they recover."""

from __future__ import annotations

import asyncio

from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import PUBLISHER, SERVER, Shape, World, world

TIMES, TIMES_QUICK = 20, 2
BETWEEN_RUNS = 40
RECOVERING_S = (0.05, 2.0)
AGAIN = 0.5
"""How often they are not left to recover."""


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    async with world(Shape(), settings.seed) as one:
        one.publish()
        for _ in range(times):
            if one.random.random() < AGAIN:
                await asyncio.sleep(one.random.uniform(*RECOVERING_S))
            else:
                await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
            await _kill_all(one)
        await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
        return await judge("everything", times, one)


async def _kill_all(one: World) -> None:
    names = one.alive()
    one.random.shuffle(names)
    for name in names:
        one.kill(name)
    one.random.shuffle(names)
    for name in names:
        await one.start_again(name)
        one.ledger.healed("kill")
    assert SERVER in names and one.alive(PUBLISHER)
