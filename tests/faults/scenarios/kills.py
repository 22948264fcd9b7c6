"""F1: SIGKILL at random moments to workers, coordinators, the server, the reader, the trigger and publishers, under constant load."""

from __future__ import annotations

from ..judge import judge
from ..monkey import Monkey
from ..outcome import Outcome
from ..registry import Settings
from ..world import Shape, world

KILLS, KILLS_QUICK = 100, 20
RATE, PUBLISHERS = 15, 2
"""Events per second of each publisher: one of them is mostly alive, so there is always something under way."""
WARM = 20
"""So many runs have ended before the first kill."""


async def play(settings: Settings) -> Outcome:
    kills = settings.count(KILLS, KILLS_QUICK)
    async with world(Shape(rate=RATE, publishers=PUBLISHERS), settings.seed) as one:
        one.publish()
        await one.ended(WARM)
        await Monkey(one).kill(kills)
        return await judge("kills", kills, one)
