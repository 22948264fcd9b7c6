"""Timers of runs, with everything that can be killed: each fires once, never before its time, at once if its time is over, and not at all
when nobody wants it any more."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.coordinator import owner, run_timers, snapshots
from jetfleet.schemas import subjects
from jetfleet.schemas.records import Completion, RunStarted, TimerFired

from ..fleet.conftest import ServerFactory
from ..fleet.fleet_log import executed_twice
from ..fleet.fleets import LONG_S, Fleet, coordinator_process, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until

BRANCHES = 20
FIRST_MS, STEP_MS = 2_500, 20
HOUR_MS = 3_600_000


def delay(ms: int) -> dict[str, Any]:
    return {"type": "std::delay", "config": {"duration_ms": ms}}


def branches() -> dict[str, Any]:
    """A run with many timers in parallel, a node behind each, and a long task beside them."""
    delays = {f"d{number}": delay(FIRST_MS + number * STEP_MS) for number in range(BRANCHES)}
    steps = {f"s{number}": {"type": "f.step"} for number in range(BRANCHES)}
    nodes = {"begin": {"type": "f.step"}, **delays, **steps, "long": {"type": "f.gated"}, "end": {"type": "std::merge"}}
    ways = [f"begin -> d{number} -> s{number} -> end" for number in range(BRANCHES)] + ["begin -> long -> end"]
    pairs = [pair for way in ways for pair in pairwise(way.split(" -> "))]
    return flow("branches", nodes, [f"{a} -> {b}" for a, b in pairs])


def fired_once(one: Fleet, id: str) -> list[TimerFired]:
    """The timers of a run that fired, by the log, if none did twice."""
    fired = one.log.of(id, TimerFired)
    assert max(Counter(record.timer for record in fired).values(), default=1) == 1
    return fired


async def schedules(one: Fleet) -> int:
    stored = one.client.connection.streams.read(subjects.TIMERS, subject="timer.>")
    return len([message async for message in stored])


def test_timers_that_came_due_while_everything_was_down_fire_at_once_and_once(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path, coordinators=0) as one:
            log, gate = tmp_path / "executions", tmp_path / "gate"
            with coordinator_process(server.url, tmp_path / "first") as first:
                await one.deploy(branches())
                id = await one.client.send("branches", {"log": str(log), "gate": str(gate)})
                await one.log.until(lambda: one.log.completions() == 1, "the first node")
                await asyncio.to_thread(first.kill)
                server.kill()
            due_at = one.log.of(id, RunStarted)[0].at + FIRST_MS + BRANCHES * STEP_MS + 500
            await until(lambda: time.time() * 1_000 > due_at, "the time at which all are due")
            assert one.log.of(id, TimerFired) == []
            await asyncio.to_thread(server.restart)
            with coordinator_process(server.url, tmp_path / "second"):
                await one.log.until(lambda: len(one.log.of(id, TimerFired)) >= BRANCHES, "the timers", LONG_S / 2)
                gate.touch()
                (summary,) = await one.log.ended(id)
            assert summary.status == "completed"
            assert {record.timer.activation[0] for record in fired_once(one, id)} == set(range(1, BRANCHES + 1))
            assert all(record.at >= due_at - BRANCHES * STEP_MS - 500 for record in one.log.of(id, TimerFired))
            assert executed_twice(log) == 0
            ended = {(record.activation, record.attempt) for record in one.log.of(id, Completion)}  # the log may hold one twice
            assert len(ended) == BRANCHES + 2, "the long task beside the timers was executed once, too"

    run(test(), LONG_S)


def test_three_coordinators_fire_each_timer_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        retry = {"max_attempts": 2, "initial_delay_ms": 100, "jitter": False}
        nodes = {"first": delay(100), "try": {"type": "f.picky", "retry": retry}, "second": delay(50)}
        async with fleet(fresh_url, tmp_path, partitions=6, coordinators=3) as one:
            await one.shared()
            await one.deploy(flow("shared", nodes))
            ids = [await sending for sending in one.ids("shared", 10, {"fails": 1})]
            for summary in await one.log.ended(*ids):
                assert summary.status == "completed"
            for id in ids:
                assert sorted(record.timer.purpose for record in fired_once(one, id)) == ["delay", "delay", "retry"]

    run(test())


def test_the_schedules_of_what_was_called_off_are_gone(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (run_timers, snapshots):
        monkeypatch.setattr(module, "HORIZON_MS", 0)
    monkeypatch.setattr(owner, "SNAPSHOT_EVERY_S", 0.05)
    monkeypatch.setattr(owner, "SNAPSHOT_RECORDS", 1)

    async def test() -> None:
        race = {"type": "parallel", "nodes": ["slow", "slower", "told"], "completion": "any"}
        nodes = {"begin": {"type": "f.echo"}, "slow": delay(HOUR_MS), "slower": delay(2 * HOUR_MS), "end": {"type": "f.echo"}}
        told = {"told": {"type": "std::wait", "config": {"signal": "go"}}}
        ways = [f"begin -> {name}" for name in race["nodes"]] + [f"{name} -> end" for name in race["nodes"]]
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("race", nodes | told, ways, scopes={"race": race}))
            won, cancelled = await one.client.send("race"), await one.client.send("race")
            while await schedules(one) < 4:
                pass
            await one.client.signal(won, "go")
            await one.client.cancel(cancelled)
            await one.log.ended(won, cancelled)
            while await schedules(one):
                pass
            assert one.log.of(won, TimerFired) == one.log.of(cancelled, TimerFired) == []

    run(test())


def test_a_schedule_that_was_to_go_when_its_coordinator_died_goes_with_the_next(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (run_timers, snapshots):
        monkeypatch.setattr(module, "HORIZON_MS", 0)
    monkeypatch.setattr(owner, "SNAPSHOT_EVERY_S", 0.05)
    monkeypatch.setattr(owner, "SNAPSHOT_RECORDS", 1)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("orders", {"pause": delay(HOUR_MS)}))
            id = await one.client.send("orders")
            while not await schedules(one):
                pass
            await one.crash(one.coordinators[0])
            await one.client.cancel(id)  # nobody is there to call its timer off
            await one.coordinator()
            await one.log.ended(id)
            while await schedules(one):
                pass

    run(test())
