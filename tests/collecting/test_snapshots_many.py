"""What a new owner finds: collectors in snapshots that were written while more events came, and ids of events that came before."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from jetfleet.broker.coordinator import ended_runs, snapshots
from jetfleet.broker.coordinator.admission import Admission
from jetfleet.broker.coordinator.collections import COLLECT
from jetfleet.broker.definitions import define
from jetfleet.broker.engine import collector as engine
from jetfleet.broker.engine.collector import Collection, Collector
from jetfleet.broker.versions import deploy
from jetfleet.schemas import subjects
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import CollectionStarted, EventCollected, Record, RunStarted, TimerFired

from ..coordinator.keepers import Keeper, Site, append, site
from ..fleet.running import run

HOUR_MS = 3_600_000
FLOW = Flow.model_validate(
    {
        "name": "orders",
        "settings": {"batch": {"max": 4, "within": "1h", "key": "${trigger.payload.key}"}},
        "nodes": {"a": {"type": "t.work"}},
    }
)
PLAN = compile_flow(FLOW)
STEPS = 50


class Model:
    """The same records, folded with nothing ever written."""

    def __init__(self, chance: Random) -> None:
        self.collectors: dict[str, Collector] = {}
        self.seen: set[str] = set()
        self.now = 2_000_000_000_000  # so that no timer of theirs fires by itself
        self._chance = chance

    def next(self) -> Record:
        """Something that could happen now, or that happened before, once more."""
        chance, self.now = self._chance, self.now + 1
        kind = chance.random()
        closed = [(each.id, collection) for each in self.collectors.values() for collection in each.closed]
        if closed and kind < 0.3:
            id, collection = chance.choice(closed)
            return self._taken(CollectionStarted(id, self.now, collection.run))
        if self.collectors and kind < 0.4:
            self.now += 2 * HOUR_MS
            return self._taken(TimerFired(chance.choice(list(self.collectors)), self.now, COLLECT))
        number = chance.randrange(500)
        key = f"key{number % 20}"
        start = RunStarted(f"orders-{number}", self.now, "orders", PLAN.digest, None, encode({"key": key, "n": number}))
        return self._taken(EventCollected(subjects.collector("orders", key), self.now, start))

    def _taken(self, record: Record) -> Record:
        if isinstance(record, EventCollected):
            if record.start.run not in self.seen:
                self.seen.add(record.start.run)
                assert PLAN.collecting is not None
                collector = self.collectors.setdefault(record.run, Collector(record.run, "orders"))
                engine.collect(collector, record.start, record.at, PLAN.collecting)
            return record
        collector = self.collectors[record.run]
        if isinstance(record, TimerFired):
            engine.timer_fired(collector, record.at)
        else:
            assert isinstance(record, CollectionStarted)
            engine.started(collector, record.started)
        if collector.is_empty:
            del self.collectors[record.run]
        return record

    def waiting(self) -> list[Collection]:
        everything = [collection for each in self.collectors.values() for collection in (*each.closed, each.open) if collection is not None]
        return sorted(everything, key=lambda collection: collection.run)


async def agree(keeper: Keeper, model: Model) -> None:
    await keeper.caught_up()
    held = sorted((each for _, each in keeper.partition.collections.waiting()), key=lambda each: each.run)
    assert [(each.run, each.events) for each in held] == [(each.run, each.events) for each in model.waiting()]
    assert held == model.waiting()


async def something(around: Site, model: Model, chance: Random) -> None:
    await append(around, [model.next() for _ in range(chance.randint(1, 4))])


@pytest.mark.parametrize("seed", range(4, 44))
def test_a_new_owner_has_every_event_in_its_collection_once(fresh_url: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for module, name, value in (
        (snapshots, "CHUNK_BYTES", 700), (snapshots, "TURN_RUNS", 2), (snapshots, "REWRITE_FROM", 10), (snapshots, "SEGMENTS_MAX", 6),
        (ended_runs, "GENERATION_MAX", 5),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)

    async def test() -> None:
        async with site(fresh_url) as around:
            await deploy(around.connection, define(FLOW))
            await around.flows.caught_up()
            around.admission = Admission(lambda flow: 1_000, lambda: 1)  # no room, ever: nothing but the model says what happens
            chance = Random(seed)
            model, keeper = Model(chance), await Keeper(around).take_over()
            for _ in range(STEPS):
                step = chance.random()
                if step < 0.05:
                    await keeper.die()
                    keeper = await Keeper(around).take_over()
                elif step < 0.1:
                    await keeper.write()
                elif step < 0.45:  # events come while it is written
                    await asyncio.gather(keeper.write(), *(something(around, model, chance) for _ in range(8)))
                    if chance.random() < 0.5:
                        await keeper.die()
                        keeper = await Keeper(around).take_over()
                else:
                    await something(around, model, chance)
                await agree(keeper, model)
            await keeper.die()
            keeper = await Keeper(around).take_over()
            await agree(keeper, model)
            assert model.collectors
            await keeper.die()

    run(test())
