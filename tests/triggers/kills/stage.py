"""The stage: a fleet of processes on a server that writes before it acknowledges, a world outside that hands things over, and a killer.

    handing over ─▶ trigger process ─▶ events ─▶ coordinator ─▶ WAL ─▶ worker, history
         │                 ╳ kill -9, at moments drawn by the seed, and started again
      ledger                              witness of events, WAL, history

Nothing is asked of the processes themselves. `JETFLEET_KILLS_SEED` repeats the moments of a run that failed, as far as they are ours to choose.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects

from ...fleet.fleets import NODES, coordinator_process, worker_process
from ...fleet.worker_processes import CommandProcess
from .ledger import Kill, Ledger, Verdict, judge, not_injected
from .witness import Witness

FLOW, TRIGGER = "orders", "in"
PARTITIONS = 2
LONG_S = 120
SEED = "JETFLEET_KILLS_SEED"
PHASE_S = 0.03
"""The killer strikes up to so long after the run that gives it its cue, else it would always be just after something was written."""
AHEAD = 0.8
"""How far the world may be ahead of the runs, as a share of all things between two kills: what waits when the process has been started again."""
CUE = 0.25
"""How much of that becomes runs at most between a start and the next kill."""
UNLIMITED = {"max_concurrent_executions": 1_000_000}


class World(Protocol):
    """Whatever hands things over. `ledger`: what it has handed over, and what it was told."""

    ledger: Ledger

    @property
    def trigger(self) -> dict[str, Any]:
        """Type and params."""

    def start(self) -> CommandProcess:
        """The process that is to be killed."""

    def number(self, payload: Any) -> int:
        """What the payload of an event is about. May raise anything for one that is not as it should be."""

    async def hand_over(self, stage: Stage, count: int) -> None:
        """Things 0, 1, …, each as soon as `stage.room` lets it; returns when all are acknowledged."""

    @property
    def at_work(self) -> bool:
        """Whether something is in the hands of the process, as far as can be told while it lives."""

    async def under_way(self, stage: Stage) -> int:
        """Of what was offered, how much was in the hands of what has just been killed."""

    async def settled(self, stage: Stage) -> None:
        """Wait until nothing is left to be done outside, after all runs have begun."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`absorbed`: events that were published more than once, each time beyond the first."""

    verdict: Verdict
    ledger: Ledger
    absorbed: int
    seconds: float

    def line(self, name: str, seed: int) -> str:
        kills = ", ".join(f"{kill.under_way} under way at run {kill.runs}" for kill in self.ledger.kills)
        return (
            f"{name}: {self.verdict.acknowledged} acknowledged, {len(self.ledger.kills)} kills ({kills}), {self.verdict.runs} runs, "
            f"{len(self.verdict.missing)} missing, {len(self.verdict.doubled)} doubled, {self.absorbed} events absorbed, "
            f"{self.ledger.retries} retries, {self.seconds:.1f} s; {SEED}={seed}"
        )


class Stage:
    """One fleet, one flow, one world."""

    def __init__(self, client: Client, witness: Witness, world: World, seed: int) -> None:
        self.client, self.witness, self.world, self.random = client, witness, world, random.Random(seed)
        self._window = 0

    async def room(self, number: int) -> None:
        """Wait until the thing with this number may be handed over."""
        await asyncio.sleep(0)  # a world that never waits would keep the witness from seeing anything
        if number - len(self.witness.runs) >= self._window:
            await self._until(lambda: number - len(self.witness.runs) < self._window, "runs of what was handed over")

    async def play(self, count: int, kills: int) -> Outcome:
        """Hand over so many things while the process is killed so often; returns when all is over."""
        began, ledger, witness = time.perf_counter(), self.world.ledger, self.witness
        self._window = int(AHEAD * count / (kills + 1))
        self._process = self.world.start()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self.world.hand_over(self, count))
                both.create_task(self._kill(count, kills))
            await self._until(lambda: len(witness.runs) >= count, "a run of each acknowledged thing")
            await self.world.settled(self)
            await self._drained()
            await self._until(lambda: witness.ended >= witness.runs, "the ends of all runs")
        finally:
            self._process.kill_if_alive()
        verdict = judge(ledger, witness.begun, witness.lives())
        return Outcome(verdict, ledger, witness.published.total() - len(witness.published), time.perf_counter() - began)

    async def _kill(self, count: int, kills: int) -> None:
        runs, dealt = self.witness.runs, self.world.ledger.kills
        while len(dealt) < kills and len(runs) < count:
            cue = min(count, len(runs) + self.random.randint(1, int(self._window * CUE)))
            await self._until(lambda: len(runs) >= cue, "the cue of a kill")  # noqa: B023
            await asyncio.sleep(self.random.random() * PHASE_S)
            while not self.world.at_work and len(runs) < count:
                await asyncio.sleep(0.001)
            self._process.kill()
            if under_way := await self.world.under_way(self):  # one that hits nobody proves nothing, and is dealt anew
                dealt.append(Kill(len(runs), under_way))
            self._process = self.world.start()

    async def _drained(self) -> None:
        """Nothing waits to become a run any more, and nothing that came twice."""
        streams = self.client.connection.streams
        async with asyncio.timeout(LONG_S):
            while (info := await streams.stream_info(subjects.EVENTS)) is None or info["state"]["messages"]:
                await asyncio.sleep(0.02)
        await self.witness.caught_up()

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        await self.witness.until(condition, what, LONG_S)


@asynccontextmanager
async def stage(url: str, folder: Path, world: World, seed: int, *, coordinator: bool = True) -> AsyncIterator[Stage]:
    """`coordinator`: there is one that nobody kills."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await Connection.open(url, name="witness"))
        await ensure(connection, Topology(partitions=PARTITIONS, store_bytes=1 << 30))
        client = await stack.enter_async_context(await Client.connect(url))
        witness = Witness(connection, world.number)
        stack.push_async_callback(witness.stop)
        await witness.watch(subjects.event(FLOW, TRIGGER))
        stack.enter_context(worker_process(url, folder / "worker"))
        if coordinator:
            stack.enter_context(coordinator_process(url, folder / "coordinator"))
        await client.deploy(_flow(world.trigger), nodes=[NODES])
        yield Stage(client, witness, world, seed)


def _flow(trigger: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": FLOW,
        "triggers": [{"id": TRIGGER, **trigger}],
        "nodes": {"seen": {"type": "f.echo"}},
        "edges": [{"from": TRIGGER, "to": "seen"}],
        "settings": UNLIMITED,
    }


def chosen_seed() -> int:
    return int(os.environ.get(SEED) or random.SystemRandom().randrange(2**32))


async def proven(name: str, url: str, folder: Path, world: World, count: int, kills: int, *, coordinator: bool = True) -> None:
    """Play it, say what came of it, and fail if it is not what is promised. `coordinator`: there is one that nobody kills."""
    seed = chosen_seed()
    print(f"{name}: {SEED}={seed}", flush=True)
    async with stage(url, folder, world, seed, coordinator=coordinator) as found:
        outcome = await found.play(count, kills)
    print(outcome.line(name, seed), flush=True)
    complaints = not_injected(outcome.ledger, kills) + outcome.verdict.complaints
    assert not complaints and outcome.verdict.acknowledged == count, complaints
