"""F5: a coordinator stands still (SIGSTOP) until others own its partitions, and goes on then (SIGCONT)."""

from __future__ import annotations

from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import COORDINATOR, Shape, world

TIMES, TIMES_QUICK = 10, 1
RATE = 40
BETWEEN_RUNS = 30


async def play(settings: Settings) -> Outcome:
    times = settings.count(TIMES, TIMES_QUICK)
    async with world(Shape(rate=RATE, readers=0, triggers=0), settings.seed) as one:
        one.publish()
        for _ in range(times):
            await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
            name = one.random.choice(one.alive(COORDINATOR))
            strike = one.freeze(name)
            open = one.open_runs()
            await one.watcher.until(lambda pid=strike.pid: not one.watcher.owned_by(pid), "others own its partitions")
            await one.watcher.until(lambda left=open: left <= one.watcher.ends.keys(), "others do what the frozen coordinator had")
            one.thaw(name)
            await one.watcher.until(lambda pid=strike.pid: bool(one.watcher.owned_by(pid)), "it owns some again")
        await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
        return await judge("zombie_coordinator", times, one)
