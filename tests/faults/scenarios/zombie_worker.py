"""F4: a worker stands still (SIGSTOP) until others have done its tasks, and goes on then (SIGCONT)."""

from __future__ import annotations

from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import WORKER, Shape, world

TIMES, TIMES_QUICK = 10, 1
RATE = 40
BETWEEN_RUNS = 30


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    async with world(Shape(rate=RATE, readers=0, triggers=0), settings.seed) as one:
        one.publish()
        for _ in range(times):
            await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
            name = one.random.choice(one.alive(WORKER))
            one.freeze(name)
            open = one.open_runs()
            await one.watcher.until(lambda left=open: left <= one.watcher.ends.keys(), "others do what the frozen worker had")
            one.thaw(name)
        await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
        return await judge("zombie_worker", times, one)
