"""The stage: a fleet of processes on a server that writes before it acknowledges, a world outside that hands things over, and a killer.

    handing over (as fast as runs begin) ─▶ trigger process ─▶ coordinator ─▶ WAL ─▶ read here
           │                                     ╳ kill -9, at moments drawn by the seed, and started again
         ledger

Nothing is asked of the processes themselves: what was published is seen by a subscription, what has begun in the WAL, what was handed over
stands in the ledger. `JETFLEET_KILLS_SEED` repeats the moments of a run that failed, as far as they are ours to choose.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jetfleet.broker.client import Message
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import BatchedEvent
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted

from ...fleet.fleets import NODES, Fleet, coordinator_process, fleet, worker_process
from ...fleet.worker_processes import CommandProcess
from .ledger import UNNUMBERED, Begun, Kill, Ledger, Verdict, judge, not_injected

FLOW, TRIGGER = "orders", "in"
PARTITIONS = 2
LONG_S = 120
SEED = "JETFLEET_KILLS_SEED"
PHASE_S = 0.03
"""The killer strikes up to so long after the run that gives it its cue, else it would always be just after something was written."""
AHEAD = 0.4
"""How far the world may be ahead of the runs, as a share of all things: what waits when the process has been started again."""
CUE = 0.1
"""So many runs at most, as a share of all, between a start and the next kill."""
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
    """`published`: how often an event of each thing was published."""

    def __init__(self, one: Fleet, world: World, seed: int) -> None:
        self.one, self.world, self.random = one, world, random.Random(seed)
        self.published: Counter[int] = Counter()
        self._window = 0

    # --- what is seen

    def runs(self) -> set[str]:
        return self.one.log.begun

    def begun(self) -> list[Begun]:
        """Every RunStarted of the WAL."""
        return [
            Begun(run, self._number(bytes(record.payload)))
            for run, records in self.one.log.records.items() for record in records if isinstance(record, RunStarted)
        ]  # fmt: skip

    def lives(self) -> dict[str, int]:
        """How many different first records each run has in the history."""
        firsts = {run: {bytes(part.records[0]) for part in parts if not part.first} for run, parts in self.one.log.parts.items()}
        return {run: len(found) for run, found in firsts.items()}

    async def caught_up(self) -> None:
        """What was published and logged until now has been seen."""
        await self.one.client.connection.streams.stream_info(subjects.EVENTS)  # its answer comes after what was published before
        await self.one.log.caught_up()

    async def subscribe(self) -> None:
        await self.one.client.connection.subscribe(subjects.event(FLOW, TRIGGER), self._event)

    def _event(self, message: Message) -> None:
        for entry in messages.split(message.data):
            self.published[self._number(bytes(messages.decode(BatchedEvent, bytes(entry)).payload))] += 1

    def _number(self, payload: bytes) -> int:
        try:
            return self.world.number(decode(payload))
        except Exception:  # a payload that is not as it was handed over: the verdict says so
            return UNNUMBERED

    async def room(self, number: int) -> None:
        """Wait until the thing with this number may be handed over."""
        if number - len(self.runs()) >= self._window:
            await self._until(lambda: number - len(self.runs()) < self._window, "runs of what was handed over")

    # --- what is done

    async def play(self, count: int, kills: int) -> Outcome:
        """Hand over so many things while the processes are killed so often; returns when all is over."""
        began = time.perf_counter()
        self._window = int(count * AHEAD)
        ledger = self.world.ledger
        self._process = self.world.start()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self.world.hand_over(self, count))
                both.create_task(self._kill(int(count * CUE), kills))
            await self._until(lambda: len(self.runs()) >= len(ledger.told), "a run for each acknowledged thing")
            await self.one.log.ended(*self.runs(), deadline_s=LONG_S)
            await self.world.settled(self)
            await self._drained()
        finally:
            self._process.kill_if_alive()
        verdict = judge(ledger, self.begun(), self.lives())
        return Outcome(verdict, ledger, self.published.total() - len(self.published), time.perf_counter() - began)

    async def _kill(self, runs_max: int, kills: int) -> None:
        for _ in range(kills):
            cue = len(self.runs()) + self.random.randint(1, runs_max)
            await self._until(lambda: len(self.runs()) >= cue, "the cue of a kill")  # noqa: B023
            await asyncio.sleep(self.random.random() * PHASE_S)
            self._process.kill()
            self.world.ledger.kills.append(Kill(len(self.runs()), await self.world.under_way(self)))
            self._process = self.world.start()

    async def _drained(self) -> None:
        """Nothing waits to become a run any more, and nothing that came twice."""
        streams = self.one.client.connection.streams
        async with asyncio.timeout(30):
            while (info := await streams.stream_info(subjects.EVENTS)) is None or info["state"]["messages"]:
                await asyncio.sleep(0.02)
        await self.caught_up()
        assert all(tail.hole is None for tail in self.one.log._tails), "the log has been read without a gap"

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        await self.one.log.until(condition, what, LONG_S)


@asynccontextmanager
async def stage(url: str, folder: Path, world: World, seed: int, *, coordinator: bool = True) -> AsyncIterator[Stage]:
    """`coordinator`: there is one that nobody kills."""
    async with fleet(url, folder, partitions=PARTITIONS, coordinators=0, workers=0) as one:
        with ExitStack() as processes:
            processes.enter_context(worker_process(url, folder / "worker"))
            if coordinator:
                processes.enter_context(coordinator_process(url, folder / "coordinator"))
            found = Stage(one, world, seed)
            await found.subscribe()
            await one.client.deploy(_flow(world.trigger), nodes=[NODES])
            yield found


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
