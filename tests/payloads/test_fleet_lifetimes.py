"""How long large values live: as long as somebody needs them, and not much longer."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import numpy
import pytest

from jetfleet.broker.objects.janitor import Janitor
from jetfleet.broker.objects.opening import deployed_chunks
from jetfleet.broker.payloads.run_states import RunStates
from jetfleet.schemas import subjects
from jetfleet.schemas.payload_errors import PayloadLost
from jetfleet.schemas.records import ChildEnded

from ..faults.life import reading
from ..fleet.fleets import Fleet, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import stopped, until
from .bulk_nodes import bulk, checksum
from .hosts import MIB, deploy, executions, host, is_right, made, produced_and_summed, segment_of, segments, start

OWN_SEGMENT = 9 * MIB
SMALL = {"arena-max": "64MiB", "arena-keep": 0}
"""Segments of 8 MiB: a value of OWN_SEGMENT has one for itself."""
ROOMY = SMALL | {"arena-max": "256MiB"}
"""For many writers at once, one of them dead: each holds segments that it has begun."""
UNSPARED = {"jetfleet.broker.arena.leftovers.SPARE_FOR_S": 1.0}
"""What was freed is not kept for its writer for long."""


def producing(name: str, **blocks: Any) -> dict[str, Any]:
    """Its output is what it makes."""
    return flow(name, {"make": {"type": "bulk.make", "queue": "a"}}, **blocks)


async def freed(one: Fleet, arena: Path) -> None:
    """Wait until the keeper has freed a run that ends now: what it frees it has freed by then."""
    id = await start(one, "passing", length=OWN_SEGMENT)
    ref = await made(one, id)
    await one.log.ended(id)
    await until(lambda: not segment_of(arena, ref).exists(), "the keeper frees what is over", 30)


def test_a_reader_sees_right_bytes_to_the_end_though_its_run_was_cancelled_and_the_keeper_frees(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        arena, gate = tmp_path / "a" / "arena", tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed("held", end="bulk.hold"), produced_and_summed(), producing("passing"))
            with (
                host(fresh_url, tmp_path / "a", "a", options=SMALL),
                host(fresh_url, tmp_path / "b", "b", arena=arena, options=SMALL) as reader,
            ):
                id = await start(one, "held", length=OWN_SEGMENT, seed=5, gate=str(gate))
                ref = await made(one, id)
                await until(lambda: executions(one, "held") == 1, "the node holds its view")
                await one.client.cancel(id)
                assert [summary.status for summary in await one.log.ended(id)] == ["cancelled"]
                await freed(one, arena)
                later = [await start(one, length=OWN_SEGMENT, seed=n, key=f"later {n}") for n in range(6)]
                assert all(is_right(summary, OWN_SEGMENT, seed=n) for n, summary in enumerate(await one.log.ended(*later, deadline_s=40)))
                assert segment_of(arena, ref).exists(), "nobody uses again what somebody looks at"
                gate.touch()
                await until((tmp_path / "gate.seen").exists, "the node has looked")
                await until(lambda: (tmp_path / "gate.seen").read_text() != "", "the node has looked")
                assert int((tmp_path / "gate.seen").read_text()) == checksum(bulk("float64", OWN_SEGMENT, 5))
                await until(lambda: not segment_of(arena, ref).exists(), "it is freed when the view is gone", 30)
                assert reader.alive

    run(test(), 100)


def test_a_keeper_that_was_stopped_is_replaced_by_another_worker_of_its_host(fresh_url: str, tmp_path: Path) -> None:
    soon = {"jetfleet.broker.arena.keeper_lock.STOPPED_AFTER_S": 1.0}

    async def test() -> None:
        arena = tmp_path / "a" / "arena"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, producing("passing"))
            with host(fresh_url, tmp_path / "k", "none", arena=arena, options=SMALL) as keeper:
                await until((arena / "keeper.lock").exists, "it is the keeper", 30)
                with host(fresh_url, tmp_path / "a", "a", options=SMALL, constants=soon), stopped(keeper.pid):
                    await freed(one, arena)

    run(test(), 80)


def test_a_parent_reads_what_its_child_made_long_after_the_child_has_ended(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        arena = tmp_path / "a" / "arena"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, producing("child"), producing("passing"))
            child = {"type": "std::subflow", "config": {"flow": "child"}}
            await deploy(one, flow("parent", {"call": child, "sum": {"type": "bulk.sum", "queue": "b"}}))
            with host(fresh_url, tmp_path / "a", "a", options=SMALL):
                id = await start(one, "parent", length=OWN_SEGMENT, seed=2)
                await one.log.until(lambda: bool(one.log.of(id, ChildEnded)), "the child's end")
                await freed(one, arena)
                with host(fresh_url, tmp_path / "b", "b", arena=arena, options=SMALL):
                    (summary,) = await one.log.ended(id)
                    assert is_right(summary, OWN_SEGMENT, seed=2)
                await until(lambda: not segments_in_use(arena), "all is freed when the family is over", 30)

    run(test(), 80)


def test_a_client_reads_outputs_until_they_are_freed_and_stored_ones_after_that(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        arena, value = tmp_path / "a" / "arena", bulk("float64", OWN_SEGMENT, 1)
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, producing("passing"), producing("stored", payloads={"durability": "object-store"}), producing("kept"))
            event = {"bytes": OWN_SEGMENT, "seed": 1, "log": str(tmp_path / "log")}
            with host(fresh_url, tmp_path / "k", "a"):
                result = await one.client.run("kept", event, timeout_s=30)
                numpy.testing.assert_array_equal(result.output["data"], value)
            with host(fresh_url, tmp_path / "a", "a", options=SMALL):
                handles = [await one.client.start(name, event) for name in ("stored", "passing")]
                await one.log.ended(*(handle.id for handle in handles), deadline_s=30)
                await until(lambda: not segments_in_use(arena), "the keeper has freed all of it", 30)
                with pytest.raises(PayloadLost, match="freed"):
                    await handles[1].result(20)
            shutil.rmtree(arena)
            numpy.testing.assert_array_equal((await handles[0].result(20)).output["data"], value)

    run(test(), 100)


def test_what_an_event_names_is_there_for_who_gets_it_after_the_run_that_emitted_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        emit = {"type": "std::emit", "config": {"subject": "listener.go"}}
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, flow("listener", {"sum": {"type": "bulk.sum", "queue": "b"}}))
            stored = {"payloads": {"durability": "object-store"}}
            await deploy(one, flow("teller", {"make": {"type": "bulk.make", "queue": "a"}, "tell": emit}, outputs={}, **stored))
            with host(fresh_url, tmp_path / "a", "a", options=SMALL):
                id = await start(one, "teller", length=OWN_SEGMENT, seed=3)
                await one.log.ended(id)
                await until(lambda: not segments_in_use(tmp_path / "a" / "arena"), "the keeper has freed all of it", 30)
            left = await objects_left(one)
            assert [subject for subject in left if subject.startswith(f"object.pin.{id}.")], (
                "it outlives its run by the event that names it"
            )
            (listener,) = one.log.begun - {id}
            with host(fresh_url, tmp_path / "b", "b", options=SMALL):
                (summary,) = await one.log.ended(listener, deadline_s=30)
            assert is_right(summary, OWN_SEGMENT, seed=3)

    run(test(), 80)


def test_a_failed_run_whose_values_are_stored_can_be_tried_again_when_all_its_hosts_are_gone(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        stored = {"payloads": {"durability": "object-store"}, "outputs": {"sum": "${sum.sum}"}}
        async with fleet(fresh_url, tmp_path, workers=0) as one, reading(one, tmp_path):
            await deploy(one, produced_and_summed("failing", "bulk.make_once", "bulk.sum_or_fail", **stored))
            with host(fresh_url, tmp_path / "a", "a", "b", options=SMALL):
                id = await start(one, "failing", length=OWN_SEGMENT, seed=4, mended=str(tmp_path / "mended"))
                assert [summary.status for summary in await one.log.ended(id, deadline_s=30)] == ["failed"]
                await until(lambda: not segments_in_use(tmp_path / "a" / "arena"), "the keeper has freed all of it", 30)
            assert await objects_left(one), "for who tries it again"
            (tmp_path / "mended").touch()
            with host(fresh_url, tmp_path / "b", "a", "b", options=SMALL):
                result = await (await one.client.retry(id)).result(30)
            assert (result.status, result.output["sum"]) == ("completed", checksum(bulk("float64", OWN_SEGMENT, 4)))
            assert executions(one, "made") == 1
            async with asyncio.timeout(20):
                while await objects_left(one):
                    await asyncio.sleep(0.05)

    run(test(), 100)


def segments_in_use(arena: Path) -> list[Path]:
    return [path for path in segments(arena) if path.suffix == ".seg"]


@pytest.mark.parametrize("runs", [60, pytest.param(10_000, marks=pytest.mark.soak)])
def test_runs_that_are_over_leave_nothing_behind(fresh_url: str, tmp_path: Path, runs: int) -> None:
    """Not even when a worker is killed among them. A third of the values goes through the object store."""

    async def test() -> None:
        arena, far = tmp_path / "a" / "arena", tmp_path / "far" / "arena"
        short = {"payloads": {"inline_max": "64B"}}
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            names = ["near", "stored", "far"]
            await deploy(
                one,
                produced_and_summed("near") | short,
                produced_and_summed("stored", payloads={"inline_max": "64B", "durability": "object-store"}),
                flow("far", {"make": {"type": "bulk.make", "queue": "a"}, "sum": {"type": "bulk.sum", "queue": "far"}}, **short),
            )
            with (
                host(fresh_url, tmp_path / "a", "a", "b", options=ROOMY, constants=UNSPARED),
                host(fresh_url, tmp_path / "k", "a", "b", arena=arena, options=ROOMY, constants=UNSPARED) as killed,
                host(fresh_url, tmp_path / "far", "far", options=ROOMY, constants=UNSPARED),
            ):
                ids = [await start(one, names[n % 3], length=800, seed=n, key=str(n)) for n in range(runs)]
                await one.log.until(lambda: len(one.log.parts) > runs // 3, "a third of the runs are over", 300)
                killed.kill()
                summaries = await one.log.ended(*ids, deadline_s=60 + runs / 4)
                assert all(is_right(summary, 800, seed=n) for n, summary in enumerate(summaries))
                await until(lambda: not segments(arena) and not segments(far), "no segment is left", 60)
                await until(lambda: len(list(arena.glob("p*.lock"))) <= 1, "nothing of the dead is left", 30)
                assert await objects_left(one) == {}

    run(test(), 110 + runs / 3)


async def objects_left(one: Fleet) -> dict[str, int]:
    """What janitors leave of objects and pins when they sweep without delay."""
    connection = one.client.connection
    janitor = Janitor(connection, deployed_chunks(connection), grace_s=0)
    states = RunStates(connection, one.client.partitions)
    for _ in range(3):
        await janitor.sweep(states.over)
        await asyncio.sleep(0)
    return await connection.streams.subjects(subjects.OBJECTS, "object.>")
