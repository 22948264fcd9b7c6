"""Snapshots on a real server: whatever is written when, and whoever dies in between, a new owner comes to what the records say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import msgspec
import pytest

from jetfleet.broker.client import WrongSequence
from jetfleet.broker.coordinator import ended_runs, snapshots
from jetfleet.broker.coordinator.snapshots import Manifest
from jetfleet.broker.engine import outstanding
from jetfleet.schemas import subjects
from jetfleet.schemas.effects import Dispatch
from jetfleet.schemas.errors import JetfleetError, UnreadableRecord
from jetfleet.schemas.records import CancelRequested, Completion, Record, SignalReceived

from ..fleet.running import run
from .keepers import Journal, Keeper, Site, append, site, start

STEPS = 60


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that comes with size comes with a handful of runs."""
    monkeypatch.setattr(snapshots, "CHUNK_BYTES", 700)
    monkeypatch.setattr(snapshots, "TURN_RUNS", 2)
    monkeypatch.setattr(snapshots, "REWRITE_FROM", 10)
    monkeypatch.setattr(snapshots, "SEGMENTS_MAX", 6)
    monkeypatch.setattr(ended_runs, "GENERATION_MAX", 5)


class Play:
    """A journal, and a keeper that is given the same records."""

    def __init__(self, around: Site, seed: int = 0) -> None:
        self.site, self.journal, self.chance = around, Journal(), Random(seed)

    async def begin(self) -> Play:
        self.keeper = await Keeper(self.site).take_over()
        return self

    async def take(self, records: Sequence[Record]) -> None:
        for record in records:
            self.journal.take(record)
        await append(self.site, records)

    async def go_on(self) -> None:
        """A message with a few things that could happen now, each after the one before."""
        records = []
        for _ in range(self.chance.randint(1, 4)):
            records.append(self.journal.next(self.chance))
            self.journal.take(records[-1])
        await append(self.site, records)

    async def kill(self) -> None:
        """The keeper is gone; another one takes over."""
        await self.keeper.die()
        self.keeper = await Keeper(self.site).take_over()

    async def agree(self) -> None:
        await self.keeper.caught_up()
        assert self.keeper.digests() == self.journal.digests()
        forgotten = [id for id in self.journal.ended if id not in self.keeper.partition.ended]
        assert not forgotten


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_written_when_a_new_owner_comes_to_what_the_records_say(url: str, small: None, seed: int) -> None:
    async def test() -> None:
        async with site(url) as around:
            play = await Play(around, seed).begin()
            for _ in range(STEPS):
                step = play.chance.random()
                if step < 0.1:
                    await play.kill()
                elif step < 0.2:
                    await play.keeper.write()
                elif step < 0.3:  # runs go on while they are written
                    await asyncio.gather(play.keeper.write(), play.go_on(), play.go_on())
                else:
                    await play.go_on()
                await play.agree()
            await play.kill()
            await play.agree()
            assert play.journal.ended and play.journal.open

    run(test())


def test_an_owner_that_dies_while_it_writes_leaves_nothing_that_counts(url: str, small: None) -> None:
    async def test() -> None:
        async with site(url) as around:
            play = await Play(around).begin()
            await play.take([start(number) for number in range(20)])
            await play.keeper.caught_up()
            writing = asyncio.create_task(play.keeper.write())
            while not await _segments(around):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
            left_behind = await _segments(around)
            await play.kill()
            await play.take([CancelRequested("patient/3", start(3).at + 1, "not wanted", True)])
            await play.agree()
            await play.keeper.write()
            assert not left_behind & await _segments(around)
            await play.kill()
            await play.agree()
            assert "patient/3" not in play.keeper.partition.runs

    run(test())


def test_who_waits_is_written_once_and_rests_until_something_happens(url: str) -> None:
    async def test() -> None:
        async with site(url) as around:
            play = await Play(around, 1).begin()
            await play.take([start(number) for number in range(40)])
            for number in range(40):
                await play.take([_done(play, f"patient/{number}")])
            await play.agree()
            await play.keeper.write()
            runs = play.keeper.partition.runs
            written = {id: each.segment for id, each in runs.items()}
            await play.kill()
            runs = play.keeper.partition.runs
            assert all(each.rests for each in runs.values())
            await play.take([SignalReceived("patient/7", start(7).at + 2, "ready")])
            await play.keeper.caught_up()
            assert [id for id, each in runs.items() if not each.rests] == ["patient/7"]
            await play.keeper.write()
            assert {id for id, each in runs.items() if each.segment != written[id]} == {"patient/7"}
            await play.kill()
            await play.agree()

    run(test())


def test_a_run_with_a_task_out_stays_awake_and_is_asked_for_its_task_again(url: str) -> None:
    async def test() -> None:
        async with site(url) as around:
            play = await Play(around).begin()
            await play.take([start(1)])
            await play.keeper.caught_up()
            await play.keeper.write()
            await play.kill()
            assert not play.keeper.partition.runs["patient/1"].rests
            assert play.keeper.partition.repeat_outstanding() == 1

    run(test())


def test_segments_that_nobody_needs_are_dropped_and_the_wal_is_purged(url: str, small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_runs, "WINDOW_MS", -1_000)  # ids of ended runs need no segment for long

    async def test() -> None:
        async with site(url) as around:
            play = await Play(around).begin()
            for round in range(12):
                await play.take([start(100 * round + number) for number in range(5)])
                await play.keeper.caught_up()
                await play.keeper.write()
                ends = [CancelRequested(id, start(0).at, "", True) for id in list(play.journal.open)]
                await play.take(ends[: -1 if round else None])  # of each round one stays
            await play.keeper.caught_up()
            await play.keeper.write()
            assert len(play.keeper.snapshots.manifest.segments) <= snapshots.SEGMENTS_MAX + 1
            assert len(await _segments(around)) == len(play.keeper.snapshots.manifest.segments)
            assert await around.connection.streams.last(subjects.wal_stream(0), ">") is None
            await play.keeper.die()
            again = await Keeper(around).take_over()
            assert again.digests() == play.journal.digests()

    run(test())


def test_of_two_owners_the_second_to_write_fails_and_harms_nothing(url: str) -> None:
    async def test() -> None:
        async with site(url) as around:
            play = await Play(around).begin()
            await play.take([start(1), start(2)])
            stale = await Keeper(around).take_over()
            await play.keeper.caught_up()
            await play.keeper.write()
            with pytest.raises(WrongSequence):
                await stale.write()
            await stale.die()
            await play.take([start(3)])
            await play.kill()
            await play.agree()

    run(test())


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (b"\xc1 no manifest", "cannot be read"),
        (msgspec.msgpack.encode({"position": 1}), "version"),
        (msgspec.msgpack.encode([99, 1, "", "of another shape"]), "version 99"),
        (msgspec.msgpack.encode([1, "first"]), "cannot be read"),
    ],
)
def test_a_manifest_that_is_broken_or_newer_is_refused(url: str, manifest: bytes, reason: str) -> None:
    async def test() -> None:
        async with site(url) as around:
            await around.connection.publisher.publish("snapshot.0.manifest", manifest)
            with pytest.raises(UnreadableRecord, match=reason):
                await Keeper(around).take_over()

    run(test())


def test_a_snapshot_with_a_segment_missing_is_refused(url: str) -> None:
    async def test() -> None:
        async with site(url) as around:
            play = await Play(around).begin()
            await play.take([start(1)])
            await play.keeper.caught_up()
            await play.keeper.write()
            (segment,) = await _segments(around)
            await play.keeper.die()
            await around.connection.streams.purge(subjects.SNAPSHOTS, subject=segment)
            with pytest.raises(UnreadableRecord, match="segment 1 of partition 0 has 0 of 2 entries"):
                await Keeper(around).take_over()

    run(test())


@pytest.mark.parametrize(
    "entry", [[], [1], [1, "run", "digest"], [3, 1], 7, None, "text", [1, *["x"] * 8], [1, "a", "b", 1, 0, "", b"", [], True]]
)
def test_a_segment_with_an_unknown_entry_is_refused(url: str, entry: object) -> None:
    async def test() -> None:
        async with site(url) as around:
            manifest = Manifest(segments=[snapshots.Segment(1, 1, "w")], position=0)
            await around.connection.publisher.publish("snapshot.0.1.w", msgspec.msgpack.encode(entry))
            await around.connection.publisher.publish("snapshot.0.manifest", msgspec.msgpack.encode(manifest))
            with pytest.raises(JetfleetError):
                await Keeper(around).take_over()

    run(test())


def _done(play: Play, id: str) -> Record:
    """The completion of the only task that a run has out."""
    (task,) = [wish for wish in outstanding(play.journal.open[id]) if isinstance(wish, Dispatch)]
    return Completion(id, start(0).at, task.activation, task.attempt)


async def _segments(around: Site) -> set[str]:
    """The subjects of the segments on the server."""
    stored = around.connection.streams.read(subjects.SNAPSHOTS, subject="snapshot.0.>")
    return {message.subject async for message in stored} - {"snapshot.0.manifest"}
