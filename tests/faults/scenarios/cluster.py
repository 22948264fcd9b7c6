"""F25: of three servers one is killed, cut off, emptied or turned back, or two of them stop: nothing is lost, and it goes on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from ..cluster import ClusterWorld, cluster_world
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import SERVER, Shape

RATE = 20
WARM = 20
WARM_S = 120
DOWN_S, STOPPED_S = 2.0, 5.0
SETTLE_S = 120


async def play(settings: Settings) -> Outcome:
    kinds = list(FAULTS)
    times = settings.count(len(kinds), 2)
    async with cluster_world(Shape(rate=RATE, triggers=0, constants={}), settings.seed) as one:
        await one.whole()
        one.publish()
        for number in range(times):
            await one.ended(len(one.watcher.ends) + WARM, WARM_S)
            await FAULTS[kinds[number % len(kinds)]](one)
            await one.whole()
        return await judge("cluster", times, one, settle_s=SETTLE_S)


async def leader_killed(one: ClusterWorld) -> None:
    await _killed(one, await one.leading(), "leader killed")


async def connected_killed(one: ClusterWorld) -> None:
    """The one that a coordinator talks to."""
    await _killed(one, await one.connected(), "connected server killed")


async def _killed(one: ClusterWorld, name: str, kind: str) -> None:
    one.struck(kind, name)
    one.children[name].kill()
    await asyncio.sleep(DOWN_S)
    await one.start_again(name)
    one.ledger.healed(f"{kind} {SERVER}")


async def minority_cut(one: ClusterWorld) -> None:
    await _stopped(one, [one.random.choice(list(one.servers))], "minority cut off")


async def majority_cut(one: ClusterWorld) -> None:
    """The one that is left must not acknowledge anything by itself."""
    await _stopped(one, one.random.sample(list(one.servers), 2), "majority cut off")


async def _stopped(one: ClusterWorld, names: list[str], kind: str) -> None:
    for name in names:
        one.struck(kind, name)
        one.children[name].freeze()
    await asyncio.sleep(STOPPED_S)
    for name in names:
        one.children[name].thaw()
        one.ledger.healed(f"{kind} {SERVER}")


async def disk_emptied(one: ClusterWorld) -> None:
    """It comes back with nothing, and gets everything from the others."""
    name = one.random.choice(list(one.servers))
    one.struck("disk emptied", name)
    one.children[name].kill()
    one.empty_disk(name)
    await one.start_again(name)
    one.ledger.healed(f"disk emptied {SERVER}")


async def disk_rolled_back(one: ClusterWorld) -> None:
    """It comes back with what it had a while ago, and must not take the others back there."""
    name = one.random.choice(list(one.servers))
    one.children[name].kill()
    one.copy_disk(name)
    await one.start_again(name)
    await one.whole()
    await one.ended(len(one.watcher.ends) + WARM, WARM_S)
    one.struck("disk rolled back", name)
    one.children[name].kill()
    one.roll_back_disk(name)
    await one.start_again(name)
    one.ledger.healed(f"disk rolled back {SERVER}")


FAULTS: Mapping[str, Callable[[ClusterWorld], Awaitable[None]]] = {
    "leader killed": leader_killed,
    "connected server killed": connected_killed,
    "minority cut off": minority_cut,
    "majority cut off": majority_cut,
    "disk emptied": disk_emptied,
    "disk rolled back": disk_rolled_back,
}
