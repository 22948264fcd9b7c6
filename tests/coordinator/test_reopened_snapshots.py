"""Runs that go on after their end, and snapshots that are written meanwhile: a new owner has each in the life that it is in."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from msgspec.structs import replace

from jetfleet.broker.coordinator import ended_runs, snapshots
from jetfleet.broker.coordinator.reopening import Then, prepare
from jetfleet.broker.engine import begin, decide, hears, reopen, to_retry
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Part
from jetfleet.schemas.records import CancelRequested, EventReceived, Record, RunReopened, RunStarted

from ..fleet.running import run
from .keepers import PLAN, Journal, Keeper, Site, append, site

STEPS = 40
Place = tuple[int, int, int]


class Lives(Journal):
    """A journal of runs with several lives."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, list[Record]] = {}
        self.opened: set[tuple[str, int]] = set()

    def take(self, record: Record) -> None:
        self.records.append(record)
        if isinstance(record, RunStarted):
            if record.run not in self.of:
                self.open[record.run], _ = begin(PLAN, record)
                self.of[record.run] = [record]
        elif isinstance(record, RunReopened):
            self._reopen(record)
        else:
            for id in list(self.open) if isinstance(record, EventReceived) else [record.run]:
                self._tell(id, replace(record, run=id))

    def _tell(self, id: str, record: Record) -> None:
        run = self.open.get(id)
        if run is None or (isinstance(record, EventReceived) and not hears(run, record.event, record.payload)):
            return
        self.of[id].append(record)
        decide(run, record)
        if run.ended:
            del self.open[id]
            self.ended.append(id)

    def _reopen(self, record: RunReopened) -> None:
        id = record.run
        if id in self.open or (id, record.after) in self.opened:
            return
        self.opened.add((id, record.after))
        self.open[id], _ = reopen(PLAN, self.of[id], record)
        self.ended.remove(id)
        self.of[id].append(record)

    def next(self, chance: Random) -> Record:
        """Runs end often, and not by themselves."""
        if self.open and chance.random() < 0.25:
            return CancelRequested(chance.choice(list(self.open)), 1_000, "enough", True)
        return super().next(chance)

    def retry(self, chance: Random, places: dict[str, list[Place]]) -> RunReopened | None:
        """For a run that has ended; its records must be in the history."""
        ended = [id for id in self.ended if id in places]
        if not ended:
            return None
        id = chance.choice(ended)
        record = RunReopened(id, 2_000, len(self.of[id]), to_retry(PLAN, self.of[id]), tuple(places[id]))
        return None if reopen(PLAN, self.of[id], record)[0].ended else record


class Play:
    """The lives, and a keeper that is given the same records."""

    def __init__(self, around: Site, seed: int) -> None:
        self.site, self.journal, self.chance = around, Lives(), Random(seed)
        around.reopen = self._reopen  # type: ignore[method-assign]
        self._reopening: set[asyncio.Task[None]] = set()

    def _reopen(self, partition: int, record: RunReopened, then: Then) -> None:
        task = asyncio.create_task(prepare(self.site.connection, self.site.flows, record, lambda: True, then))
        self._reopening.add(task)
        task.add_done_callback(self._reopening.discard)

    async def begin(self) -> None:
        self.keeper = await Keeper(self.site).take_over()

    async def go_on(self) -> None:
        """A message with a few things that could happen now, each after the one before."""
        records: list[Record] = []
        for _ in range(self.chance.randint(1, 4)):
            records.append(self.journal.next(self.chance))
            self.journal.take(records[-1])
        await append(self.site, records)

    async def reopen(self) -> None:
        """What somebody writes who has seen the run's end in the history."""
        record = self.journal.retry(self.chance, await self._places())
        if record is not None:
            self.journal.take(record)
            await append(self.site, [record])

    async def _places(self) -> dict[str, list[Place]]:
        await self.keeper.caught_up()
        await self.site.outbox.drained()
        found: dict[str, list[Place]] = {}
        known: dict[str, int] = {}
        async for stored in self.site.connection.streams.read(subjects.HISTORY, subject="history.>"):
            for index, entry in enumerate(messages.split(stored.data)):
                part = messages.decode(Part, bytes(entry))
                found.setdefault(part.run, []).append((stored.seq, index, part.first))
                known[part.run] = max(known.get(part.run, 0), part.first + len(part.records))
        return {id: places for id, places in found.items() if known[id] == len(self.journal.of[id])}

    async def agree(self) -> None:
        await self.keeper.caught_up()
        assert self.keeper.digests() == self.journal.digests()

    async def kill(self) -> None:
        await self.keeper.die()
        await self.begin()


@pytest.mark.parametrize("seed", range(4))
def test_a_new_owner_has_every_run_in_its_present_life(url: str, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    for module, name, value in (
        (snapshots, "CHUNK_BYTES", 700), (snapshots, "TURN_RUNS", 2), (snapshots, "REWRITE_FROM", 10), (snapshots, "SEGMENTS_MAX", 6),
        (ended_runs, "GENERATION_MAX", 5),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)

    async def test() -> None:
        async with site(url) as around:
            play = Play(around, seed)
            await play.begin()
            for _ in range(STEPS):
                step = play.chance.random()
                if step < 0.08:
                    await play.kill()
                elif step < 0.4:  # runs end and go on while it is written
                    await asyncio.gather(play.keeper.write(), *(play.go_on() if n % 3 else play.reopen() for n in range(6)))
                    if play.chance.random() < 0.5:
                        await play.kill()
                elif step < 0.6:
                    await play.reopen()
                else:
                    await play.go_on()
                await play.agree()
            await play.kill()
            await play.agree()
            assert play.journal.opened
            await play.keeper.die()

    run(test(), 60)
