"""Snapshots: the next owner has exactly the runs that the last one had, and the WAL behind them is gone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.coordinator import owner, partition, snapshots
from jetfleet.broker.engine import digest, fold
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import Completion, RunStarted, SignalReceived

from .fleets import Fleet, chain, fleet, flow
from .running import run
from .trouble import until

FORK = flow("fork", {"a": {"type": "f.echo"}, "wait": {"type": "std::wait", "config": {"signal": "go", "timeout_ms": 3_600_000}},
                     "hold": {"type": "f.gated"}, "end": {"type": "f.echo"}},
            ["a -> wait", "a -> hold", "wait -> end", "hold -> end"])  # fmt: skip


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot as often as there is anything new."""
    monkeypatch.setattr(owner, "SNAPSHOT_EVERY_S", 0.02)
    monkeypatch.setattr(owner, "SNAPSHOT_RECORDS", 1)


def digests(one: Fleet, runs: list[str]) -> dict[str, str]:
    found = {}
    for id in runs:
        state = one.open_run(id)
        assert state is not None, id
        found[id] = digest(state)
    return found


async def wal_messages(one: Fleet) -> int:
    infos = [await one.client.connection.streams.stream_info(subjects.wal_stream(p)) for p in range(one.client.partitions)]
    return sum(info["state"]["messages"] for info in infos if info is not None)


async def half_done(one: Fleet, gate: Path, count: int = 40) -> list[str]:
    """Runs of FORK whose node `hold` is being executed, and which wait for a signal."""
    runs = list(await asyncio.gather(*one.ids("fork", count, {"gate": str(gate)})))
    await one.log.until(lambda: one.log.completions() == count, "the first node of each run")
    await one.quiet()
    return runs


async def finish(one: Fleet, runs: list[str], gate: Path) -> None:
    gate.touch()
    await asyncio.gather(*(one.client.signal(id, "go") for id in runs))
    assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
    for id in runs:
        journal = one.log.journal(id)
        assert [type(record) for record in journal if not isinstance(record, Completion)] == [RunStarted, SignalReceived]
        assert {record.activation for record in journal if isinstance(record, Completion)} == {(0,), (2,), (3,)}


def test_a_coordinator_that_stops_leaves_every_run_exactly_as_it_was_and_an_empty_wal(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(FORK)
            runs = await half_done(one, gate)
            before = digests(one, runs)
            await one.leave(one.coordinators[0])
            assert await wal_messages(one) == 0
            await one.coordinator()
            assert digests(one, runs) == before
            await finish(one, runs, gate)

    run(test())


def test_a_coordinator_that_crashes_leaves_every_run_exactly_as_it_was(fresh_url: str, tmp_path: Path, eager: None) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(FORK)
            runs = await half_done(one, gate)
            before = digests(one, runs)
            await one.crash(one.coordinators[0])
            await one.coordinator()
            await one.shared()
            assert digests(one, runs) == before
            await finish(one, runs, gate)

    run(test())


def test_what_was_archived_folds_to_what_the_owner_has(fresh_url: str, tmp_path: Path, eager: None) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(FORK)
            runs = await half_done(one, gate, 5)
            await one.log.until(lambda: all(sum(len(p.records) for p in one.log.parts.get(id, [])) == 2 for id in runs), "parts")
            plan = one.client.require("fork")
            for id, state in digests(one, runs).items():
                assert digest(fold(plan, one.log.journal(id))) == state
            await finish(one, runs, gate)

    run(test())


def test_many_generations_of_owners_under_load_lose_nothing(fresh_url: str, tmp_path: Path, eager: None) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(FORK, chain("orders"))
            held = await half_done(one, gate, 20)
            states = digests(one, held)
            sent: list[str] = []
            for round in range(5):
                sent += await asyncio.gather(*(one.client.send("orders", n, id=f"r{round}-{n}") for n in range(60)))
                enough = len(held) + len(sent) - 30
                await one.log.until(lambda enough=enough: len(one.log.begun) >= enough, "half of the runs to begin")  # type: ignore[misc]
                await one.leave(one.coordinators[0])
                await one.coordinator()
                assert digests(one, held) == states
            assert {summary.status for summary in await one.log.ended(*sent)} == {"completed"}
            assert all(len(one.log.journal(id)) == 4 for id in sent)
            await finish(one, held, gate)
            await one.quiet()
            await until(lambda: sum(one.coordinators[0].counters.open_runs().values()) == 0, "no open runs")

    run(test())


def pausing(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """From now on a segment stops before its last message is written; (it has come there, it may go on)."""
    there, go_on = asyncio.Event(), asyncio.Event()
    publish = snapshots.Snapshots._publish

    async def paused(self: Any, *arguments: Any) -> None:
        there.set()
        await go_on.wait()
        await publish(self, *arguments)

    monkeypatch.setattr(snapshots.Snapshots, "_publish", paused)
    return there, go_on


def test_runs_that_were_being_written_when_the_coordinator_was_told_to_stop_are_not_forgotten(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eager: None
) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, partitions=1) as one:
            await one.deploy(FORK)
            runs = await half_done(one, gate)
            there, go_on = pausing(monkeypatch)
            await one.client.signal(runs[0], "nobody-waits-for-it")
            await there.wait()
            before = digests(one, runs)
            leaving = asyncio.create_task(one.leave(one.coordinators[0]))
            await asyncio.sleep(0)
            go_on.set()
            await leaving
            await one.coordinator()
            assert digests(one, runs) == before
            await one.client.signal(runs[0], "go")
            gate.touch()
            await one.log.ended(runs[0])

    run(test())


def test_a_run_that_ends_while_others_are_written_does_not_come_back(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "TURN_RUNS", 1)

    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, partitions=1) as one:
            await one.deploy(FORK)
            runs = await half_done(one, gate)
            owned = one.coordinators[0].owners[0]
            assert owned.partition is not None
            await owned._write_snapshot(owned.partition)  # all are in a segment now
            await asyncio.gather(*(one.client.signal(id, "go") for id in runs))
            await one.quiet()  # and all have changed since
            entry = snapshots.Snapshots._entry
            ended: list[str] = []

            def ends_others(self: Any, home: Any, run: Any, *rest: Any) -> bytes:
                """While the first run is written all the others end."""
                written = entry(self, home, run, *rest)
                if not ended:
                    ended.extend(id for id in runs if id != run.run.id)
                    for id in ended:
                        for node in (2, 3):
                            home.outbox.record(id, encode_done(id, node))
                return written

            monkeypatch.setattr(snapshots.Snapshots, "_entry", ends_others)
            between = snapshots._whole

            async def until_they_ended(home: Any) -> None:
                while ended and any(id in home.runs for id in ended):
                    await asyncio.sleep(0.001)
                await between(home)

            monkeypatch.setattr(snapshots, "_whole", until_they_ended)
            await owned._write_snapshot(owned.partition)
            await one.crash(one.coordinators[0])
            second = await one.coordinator()
            await one.shared()
            (left,) = set(runs) - set(ended)
            assert list(second.owners[0].partition.runs) == [left]  # type: ignore[union-attr]

    run(test())


def encode_done(id: str, node: int) -> bytes:
    return encode_record(Completion(id, 0, (node,), 1, output=encode("done")))


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "crashed"])
def test_a_journal_larger_than_a_message_is_archived_in_parts_and_complete(fresh_url: str, tmp_path: Path, orderly: bool) -> None:
    async def test() -> None:
        size, count = 400_000, 30
        async with fleet(fresh_url, tmp_path, partitions=1) as one:
            await one.deploy(flow("orders", {"wait": {"type": "std::wait", "config": {"signal": "end"}}, "end": {"type": "f.echo"}}))
            id = await one.client.send("orders", 1)
            await until(lambda: one.open_run(id) is not None, "the run")
            for n in range(count):
                await one.client.signal(id, "chatter", "x" * size, id=f"s{n}")
            await one.quiet()
            assert size * count > one.client.connection.max_payload
            await (one.leave if orderly else one.crash)(one.coordinators[0])
            await one.coordinator()
            await until(lambda: one.open_run(id) is not None, "the run")
            await one.client.signal(id, "end")
            (summary,) = await one.log.ended(id)
            assert (summary.status, summary.records) == ("completed", count + 3)
            journal = one.log.journal(id)
            assert [type(record) for record in journal] == [RunStarted, *[SignalReceived] * (count + 1), Completion]
            assert [record.id for record in journal if isinstance(record, SignalReceived)] == [*(f"s{n}" for n in range(count)), ""]
            assert max(sum(map(len, map(bytes, part.records))) for part in one.log.parts[id]) < 2 * partition.TAIL_MAX_BYTES

    run(test())
