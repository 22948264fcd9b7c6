"""F24: under load the server loses a consumer, which is made again; or a stream, or everything, which is told and refused until it is accepted."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping

from jetfleet.broker.deployment import StreamGone
from jetfleet.broker.high_water import WalWentBack
from jetfleet.broker.topology import flow_consumer
from jetfleet.schemas import subjects

from ..accepting import accept_loss, doctor
from ..judge import judge
from ..outcome import Outcome
from ..registry import Settings
from ..world import COORDINATOR, PUBLISHER, SERVER, Shape, World, world

RATE = 30
WARM = 20
NAMED_S, STOPPED_S = 15, 20


async def play(settings: Settings) -> Outcome:
    kinds = list(LOSSES)
    times = settings.count(len(kinds), len(kinds))
    outcome = Outcome("lost_broker", times)
    for number in range(times):
        kind = kinds[number % len(kinds)]
        async with world(Shape(rate=RATE, triggers=0), settings.seed + number) as one:
            one.publish()
            await one.ended(WARM)
            outcome.faults[kind] += 1
            outcome.complaints += [f"{kind}: {complaint}" for complaint in await LOSSES[kind](one, outcome)]
    return outcome


async def consumers(one: World, outcome: Outcome) -> list[str]:
    """Of flows. Nobody has to do anything."""
    one.struck("consumers lost", SERVER)
    for flow in one.shape.mix:
        await one.connection.streams.delete_consumer(subjects.EVENTS, flow_consumer(flow))
    one.ledger.healed(f"consumers lost {SERVER}")
    await one.ended(len(one.watcher.ends) + WARM)
    healed = await judge("lost_broker", 1, one)
    outcome.acked += healed.acked
    outcome.runs += healed.runs
    outcome.ended += healed.ended
    return healed.complaints


async def wal(one: World, outcome: Outcome) -> list[str]:
    """One partition stands still, and coordinators that start refuse."""
    await one.connection.streams.delete_stream(subjects.wal_stream(0))
    complaints = await named(one, f"missing: {subjects.wal_stream(0)}")
    for name in one.names(COORDINATOR):
        one.kill(name)
        one.start(name, supervised=False)
    return complaints + await refused(one) + await accepted(one, outcome)


async def fleet_stream(one: World, outcome: Outcome) -> list[str]:
    """The one that says how many partitions there are."""
    await one.connection.streams.delete_stream(subjects.FLEET)
    for name in one.names(COORDINATOR):
        one.kill(name)
        one.start(name, supervised=False)
    return await refused(one) + await accepted(one, outcome)


async def everything(one: World, outcome: Outcome) -> list[str]:
    """An empty server comes up at the same address."""
    one.leave_alone(COORDINATOR)
    one.kill(SERVER)
    shutil.rmtree(one.server.data)
    await one.start_server()
    complaints = await refused(one)
    return complaints + await accepted(one, outcome)


async def refused(one: World) -> list[str]:
    """Complaints about coordinators that do not stop with a reason."""
    found = []
    for name in one.names(COORDINATOR):
        child = one.children[name]
        try:
            code = await child.ended(STOPPED_S)
        except AssertionError:
            found.append(f"{name} goes on:\n{child.last_lines(3)}")
            continue
        if code != 1 or not any(word in child.last_lines(3) for word in (StreamGone.code, WalWentBack.code)):
            found.append(f"{name} ended with {code}:\n{child.last_lines(3)}")
    return found


async def named(one: World, words: str) -> list[str]:
    ends_at, said = time.monotonic() + NAMED_S, ""
    while time.monotonic() < ends_at:
        said = await doctor(one)
        if any(line.startswith("bad") and words in line for line in said.splitlines()):
            return []
        await asyncio.sleep(0.1)
    return [f"the doctor does not say {words!r}: {said}"]


async def accepted(one: World, outcome: Outcome) -> list[str]:
    """And then it goes on."""
    for name in one.alive(PUBLISHER, COORDINATOR):
        one.kill(name)
    await accept_loss(one)
    account = one.ledger.account()
    outcome.acked += len(account.runs)
    outcome.ended += len(one.watcher.ends)
    return []


LOSSES: Mapping[str, Callable[[World, Outcome], Awaitable[list[str]]]] = {
    "consumers": consumers,
    "a WAL": wal,
    "FLEET": fleet_stream,
    "everything": everything,
}
