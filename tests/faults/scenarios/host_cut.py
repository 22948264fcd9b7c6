"""F10: the server is on a machine of its own, and the cable is pulled, broken in one direction, or flaps, for one to ten seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from ..judge import judge
from ..machine.hosts import Host, host
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, SETTLE_S, Shape, World, world

CUTS, CUTS_QUICK = 20, 4
RATE = 30
WARM = 20
CUT_S, CUT_QUICK_S = (1.0, 10.0), (1.0, 2.0)
FLAP_S, FLAPS = 0.5, 4


async def play(settings: Settings) -> Outcome:
    cuts = settings.count(CUTS, CUTS_QUICK)
    with host() as far:
        shape = Shape(rate=RATE, triggers=0, server={"host": far.address, "inside": far.inside})
        async with world(shape, settings.seed) as one:
            one.publish()
            for number in range(cuts):
                await one.ended(len(one.watcher.ends) + WARM)
                kind = list(WAYS)[number % len(WAYS)]
                await cut(one, far, kind, one.random.uniform(*(CUT_QUICK_S if settings.quick else CUT_S)))
                await recovered(one)
            return await judge("host_cut", cuts, one)


async def cut(one: World, far: Host, kind: str, seconds: float) -> None:
    one.struck(kind, SERVER)
    for _ in range(FLAPS if kind == "flapping" else 1):
        WAYS[kind](far)
        await asyncio.sleep(FLAP_S if kind == "flapping" else seconds)
        await asyncio.to_thread(far.heal)
        await asyncio.sleep(FLAP_S if kind == "flapping" else 0)
    one.ledger.healed(f"{kind} {SERVER}")


async def recovered(one: World) -> None:
    """Wait until every run that was open has ended: the next cut is to hit a fleet that is well, and what is measured is of one cut."""
    open = one.open_runs()
    await one.watcher.until(lambda: open <= one.watcher.ends.keys(), "the runs that were open have ended", SETTLE_S)


WAYS: Mapping[str, Callable[[Host], None]] = {
    "unplugged": Host.unplug,
    "server unheard": Host.swallow_outgoing,
    "server deaf": Host.swallow_incoming,
    "flapping": Host.unplug,
}
