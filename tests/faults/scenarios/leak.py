"""I13: after rounds of load among cuts and deaths of the server, memory, open files, asyncio tasks and streams come back to where they were."""

from __future__ import annotations

from ..figures import Figures, left_in_streams
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..shape import telling
from ..world import COORDINATOR, PUBLISHER, READER, SERVER, TRIGGER, WORKER, Shape, World, world

ROUNDS, ROUNDS_QUICK = 6, 2
RUNS = 400
"""Of a round."""
WARM_RUNS = 800
WATCHED = (COORDINATOR, WORKER, READER, TRIGGER)


async def play(settings: Settings) -> Outcome:
    rounds = settings.count(ROUNDS, ROUNDS_QUICK)
    async with world(Shape(rate=100, proxied=frozenset(WATCHED), wrappers=telling(*WATCHED)), settings.seed) as one:
        await _round(one, WARM_RUNS)
        figures = Figures(one, *WATCHED)
        await figures.begin()
        for _ in range(rounds):
            await _round(one, RUNS)
        await one.settle()
        left = await left_in_streams(one)
        outcome = await judge("leak", rounds, one, usage=await figures.now())
    outcome.complaints += left
    outcome.notes += [f"{usage.what}: {usage.before:,.0f} → {usage.after:,.0f}" for usage in figures.seen]
    return outcome


async def _round(one: World, runs: int) -> None:
    """Load, a server that dies in the middle of it, every connection cut; then wait until all is done."""
    for name in one.names(PUBLISHER):
        one.start(name)
    begun = len(one.watcher.ends)
    await one.ended(begun + runs // 2)
    one.kill(SERVER)
    await one.start_server()
    one.ledger.healed("kill server")
    await one.ended(begun + runs)
    for name, proxy in one.proxies.items():
        one.struck("cut", name)
        proxy.cut()
    await one.settle()
