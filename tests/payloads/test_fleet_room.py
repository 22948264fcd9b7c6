"""Arenas that are too small: who waits, who fails, and that everybody else goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.cli.checks import arenas
from jetfleet.broker.cli.checkup import examine

from ..fleet.fleets import Fleet, fleet
from ..fleet.running import run
from ..fleet.trouble import until
from .hosts import MIB, deploy, executions, host, is_right, made, produced_and_summed, segments, start, why

LENGTH = 3 * MIB
IMPATIENT = {"type": "bulk.make", "queue": "a", "timeout_ms": 3_000}
"""Waits for room for a little less than that."""


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def impatient(name: str = "impatient") -> dict[str, Any]:
    return produced_and_summed(name) | {"nodes": {"make": IMPATIENT, "sum": {"type": "bulk.sum", "queue": "b"}}}


def jetfleet(*words: str) -> str:
    """What a command prints."""
    return subprocess.run([sys.executable, "-m", "jetfleet.schemas", *words], capture_output=True, text=True, check=True).stdout


def arena_id(arena: Path) -> str:
    return (arena / "id").read_text().strip()


def taken(arena: Path) -> int:
    return sum(path.stat().st_size for path in segments(arena))


async def fails(one: Fleet, id: str) -> tuple[str, bool, str]:
    """Type, whether it may be tried again, and message of the error by which the run fails."""
    (summary,) = await one.log.ended(id, deadline_s=40)
    assert summary.status == "failed" and summary.error is not None
    return summary.error.type, summary.error.retryable, summary.error.message


def test_more_runs_than_the_arena_has_room_for_wait_for_one_another(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed())
            with host(fresh_url, tmp_path / "a", "a", "b", options={"arena-max": "16MiB", "arena-keep": 0}) as worker:
                runs = await asyncio.gather(*(start(one, length=LENGTH, seed=n, key=str(n)) for n in range(24)))
                summaries = await one.log.ended(*runs, deadline_s=80)
                assert all(is_right(summary, LENGTH, seed=n) for n, summary in enumerate(summaries))
                assert worker.alive
            assert executions(one, "made") == executions(one, "summed") == 24
            assert taken(tmp_path / "a" / "arena") <= 16 * MIB

    run(test(), 110)


def test_steps_behind_the_large_values_are_not_kept_waiting_by_new_ones(fresh_url: str, tmp_path: Path) -> None:
    """They carry no refs themselves, and their runs give their room back only when they are done."""
    definition = produced_and_summed()
    tail = {f"tail{n}": {"type": "bulk.pass", "queue": "b"} for n in range(3)}
    edges = [{"from": one, "to": other} for one, other in pairwise(("sum", *tail))]
    with_tail = definition | {"nodes": definition["nodes"] | tail, "edges": definition["edges"] + edges}

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, with_tail)
            with host(fresh_url, tmp_path / "a", "a", "b", options={"arena-max": "16MiB", "arena-keep": 0}):
                runs = await asyncio.gather(*(start(one, length=LENGTH, seed=n, key=str(n)) for n in range(40)))
                summaries = await one.log.ended(*runs, deadline_s=80)
                assert [summary.status for summary in summaries] == ["completed"] * 40

    run(test(), 110)


def test_one_run_may_not_have_more_than_its_share(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed())
            with host(fresh_url, tmp_path / "a", "a", "b", options={"arena-max": "32MiB", "arena-run-max": "6MiB"}):
                large, usual = await start(one, length=7 * MIB), await start(one, length=LENGTH)
                type, retryable, message = await fails(one, large)
                assert (type, retryable) == ("run_too_large", False) and "--arena-run-max" in message
                assert is_right((await one.log.ended(usual))[0], LENGTH)
                assert executions(one, "made", large) == 1, "trying again cannot help"

    run(test(), 60)


@pytest.mark.parametrize("limit", ["--arena-max", "the file system"])
def test_a_value_for_which_there_is_no_room_fails_its_run_and_others_go_on(
    fresh_url: str, tmp_path: Path, limit: str, request: pytest.FixtureRequest
) -> None:
    by_option = limit == "--arena-max"
    arena = (tmp_path / "shared" if by_option else request.getfixturevalue("tiny")) / "arena"
    options = {"arena-max": "16MiB" if by_option else "64MiB", "arena-run-max": "12MiB", "arena-keep": 0}

    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            others = {"nodes": {"make": {"type": "bulk.make", "queue": "c"}, "sum": {"type": "bulk.sum", "queue": "c"}}}
            await deploy(one, impatient(), produced_and_summed("held", end="bulk.hold"), produced_and_summed("others") | others)
            with (
                host(fresh_url, tmp_path / "a", "a", "b", arena=arena, options=options) as worker,
                host(fresh_url, tmp_path / "c", "c", arena=arena, options=options) as other,
            ):
                holder = await start(one, "held", length=8 * MIB, gate=str(gate))
                await until(lambda: executions(one, "held") == 1, "the first has its room")
                waiting = await start(one, "impatient", length=9 * MIB)
                await until(lambda: executions(one, "made", waiting) == 1, "the second wants more than is left")
                small = [await start(one, "others", length=MIB, key=str(n)) for n in range(5)]
                assert all(is_right(summary, MIB) for summary in await one.log.ended(*small))
                type, retryable, message = await fails(one, waiting)
                assert (type, retryable) == ("arena_full", True) and holder in message
                gate.touch()
                assert [summary.status for summary in await one.log.ended(holder)] == ["completed"]
                assert is_right((await one.log.ended(await start(one, "impatient", length=9 * MIB, key="later")))[0], 9 * MIB)
                assert worker.alive and other.alive
            assert taken(arena) <= 16 * MIB

    run(test(), 90)


def test_who_waits_for_room_in_vain_for_a_cancelled_run_keeps_nobody_waiting(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed(), produced_and_summed("held", end="bulk.hold"))
            options = {"arena-max": "16MiB", "arena-run-max": "12MiB", "arena-keep": 0}
            with host(fresh_url, tmp_path / "a", "a", "b", options=options):
                holder = await start(one, "held", length=8 * MIB, gate=str(gate))
                await until(lambda: executions(one, "held") == 1, "the first has its room")
                waiting = await start(one, length=9 * MIB)
                await until(lambda: executions(one, "made", waiting) == 1, "the second wants more than is left")
                said = await why(one, waiting, "room")
                assert said == f"run waits for room in the arena of host {arena_id(tmp_path / 'a' / 'arena')}"
                shown = await asyncio.to_thread(jetfleet, "runs", "show", waiting, "--nats", fresh_url)
                assert f"waits: {said}" in shown and "jetfleet arena stats" in shown
                found = [finding.says for finding in arenas(await examine(one.client, tmp_path))]
                assert any("values of 1 run wait for room" in says for says in found)
                await one.client.cancel(waiting)
                small = await start(one, length=MIB, key="small")
                cancelled, completed = await one.log.ended(waiting, small, deadline_s=12)
                assert cancelled.status == "cancelled" and is_right(completed, MIB)
                gate.touch()
                assert [summary.status for summary in await one.log.ended(holder)] == ["completed"]

    run(test(), 60)


def test_who_fetches_a_value_waits_for_room_too(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            await deploy(one, produced_and_summed())
            options = {"arena-max": "8MiB", "arena-run-max": "8MiB", "arena-keep": 0}
            with host(fresh_url, tmp_path / "a", "a"), host(fresh_url, tmp_path / "b", "b", options=options) as small:
                runs = [await start(one, length=LENGTH, seed=n, key=str(n)) for n in range(8)]
                for id in runs:
                    await made(one, id)
                summaries = await one.log.ended(*runs, deadline_s=60)
                assert all(is_right(summary, LENGTH, seed=n) for n, summary in enumerate(summaries))
                assert small.alive and taken(tmp_path / "b" / "arena") <= 8 * MIB
            assert executions(one, "made") == 8

    run(test(), 100)
