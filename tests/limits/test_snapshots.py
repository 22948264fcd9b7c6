"""What a new owner finds: gates in snapshots that were written while more was asked, and gates that had been forgotten by then."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from jetfleet.broker.coordinator import ended_runs, snapshots
from jetfleet.broker.engine.gate import REMEMBERED_MS, Gate
from jetfleet.schemas.records import Record, SignalReceived, SlotReleased, SlotWanted

from ..coordinator.keepers import Keeper, Site, append, site
from ..fleet.running import run

STEPS = 60
RUNS = 40
RULES = ("queue", "reject", "cancel_oldest")


class Model:
    """The same records, folded with nothing ever written or forgotten."""

    def __init__(self, chance: Random) -> None:
        self.gates: dict[str, Gate] = {}
        self.now = 1_000
        self._chance = chance

    def next(self) -> Record:
        """Somebody asks, or asks again, or lets go, or somebody speaks to a run that is not here yet."""
        chance, self.now = self._chance, self.now + REMEMBERED_MS  # who released is remembered by no gate that has been forgotten
        if chance.random() < 0.03:
            return SignalReceived(f"later-{self.now}", self.now, "go", b"\xc0")  # so that snapshots end before the last record
        number = chance.randrange(6)
        id = f"=flow:f:{number}"
        there = [(limit, holder) for limit, gate in self.gates.items() for holder in gate.entries]
        if there and chance.random() < 0.55:
            limit, (name, activation, attempt) = chance.choice(there)
            return self._taken(SlotReleased(limit, self.now, name, activation, attempt))
        name, rule = f"f-{chance.randrange(RUNS)}", RULES[number % len(RULES)]
        return self._taken(SlotWanted(id, self.now, name, (), 1, 2, rule, priority=chance.randrange(2), fair=f"k{chance.randrange(3)}"))

    def _taken(self, record: SlotWanted | SlotReleased) -> Record:
        self.gates.setdefault(record.run, Gate(record.run)).take(record)
        return record

    def data(self) -> dict[str, list[Any]]:
        return {id: state(gate) for id, gate in self.gates.items() if gate.entries}


def state(gate: Gate) -> list[Any]:
    """Without what it remembers of those who are gone."""
    return gate.as_data()[:6]


async def agree(keeper: Keeper, model: Model) -> None:
    await keeper.caught_up()
    assert {gate.id: state(gate) for gate in keeper.partition.gates} == model.data()


async def something(around: Site, model: Model, chance: Random) -> None:
    await append(around, [model.next() for _ in range(chance.randint(1, 4))])


@pytest.mark.parametrize("seed", range(4))
def test_a_new_owner_has_every_slot_where_it_was(fresh_url: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for module, name, value in (
        (snapshots, "CHUNK_BYTES", 200), (snapshots, "TURN_RUNS", 1), (snapshots, "REWRITE_FROM", 10), (snapshots, "SEGMENTS_MAX", 6),
        (ended_runs, "GENERATION_MAX", 5),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)

    async def test() -> None:
        async with site(fresh_url) as around:
            chance = Random(seed)
            model, keeper = Model(chance), await Keeper(around, silent=True).take_over()
            for _ in range(STEPS):
                step = chance.random()
                if step < 0.05:
                    await keeper.die()
                    keeper = await Keeper(around, silent=True).take_over()
                elif step < 0.1:
                    await keeper.write()
                elif step < 0.45:  # more is asked while it is written
                    await asyncio.gather(keeper.write(), *(something(around, model, chance) for _ in range(8)))
                    if chance.random() < 0.5:
                        await keeper.die()
                        keeper = await Keeper(around, silent=True).take_over()
                else:
                    await something(around, model, chance)
                await agree(keeper, model)
            await keeper.die()
            keeper = await Keeper(around, silent=True).take_over()
            await agree(keeper, model)
            assert model.gates
            await keeper.die()

    run(test())
