"""A world in which each process reaches the server by a network of its own, and what is done to these networks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from .judge import judge
from .outcome import Outcome
from .registry import Settings
from .world import COORDINATOR, PUBLISHER, READER, TRIGGER, WORKER, Shape, World, world

PROXIED = (COORDINATOR, WORKER, READER, TRIGGER, PUBLISHER)
RATE = 40
BETWEEN_RUNS = 30
Trouble = Callable[[World, str], Awaitable[None]]
"""Does something to the network of the named process, and mends it."""


async def trouble(scenario: str, settings: Settings, times: int, make: Trouble) -> Outcome:
    """Trouble for one process after another, so often: every role has its turn."""
    async with world(Shape(rate=RATE, proxied=frozenset(PROXIED)), settings.seed) as one:
        one.publish()
        for turn in range(times):
            await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
            name = one.random.choice(one.names(PROXIED[turn % len(PROXIED)]))
            one.struck(scenario, name)
            await make(one, name)
            one.ledger.healed(f"{scenario} {name.partition('-')[0]}")
        await one.ended(len(one.watcher.ends) + BETWEEN_RUNS)
        return await judge(scenario, times, one)


async def pause(one: World, least_s: float, most_s: float) -> None:
    await asyncio.sleep(one.random.uniform(least_s, most_s))
