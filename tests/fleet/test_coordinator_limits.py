"""Limits: how many runs are open at once, a breaker for a flow that fails, disks and messages that are full."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api.unstarted import why_not_begun
from jetfleet.broker.cli import checks
from jetfleet.broker.cli.checkup import examine
from jetfleet.broker.client import Connection, StreamFull
from jetfleet.broker.coordinator import breaker
from jetfleet.broker.coordinator.breaker import Breaker
from jetfleet.schemas import subjects
from jetfleet.schemas.records import RunStarted

from .fleets import Fleet, chain, fleet
from .running import run
from .trouble import until


@contextmanager
def most_open(one: Fleet) -> Iterator[list[int]]:
    """How many runs were open at most, looked at after every record of the log."""
    most = [0]
    take = one.log._wal

    def counted(message: Any) -> None:
        take(message)
        most[0] = max(most[0], *(sum(each.counters.open_runs().values()) for each in one.coordinators))

    for tail in one.log._tails:
        if tail.stream.startswith("WAL"):
            tail._handle = counted
    yield most


def test_no_more_runs_are_open_than_the_flow_allows_and_all_events_run(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", settings={"max_concurrent_executions": 3}))
            with most_open(one) as most:
                runs = await asyncio.gather(*one.ids("orders", 200))
                assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert 1 <= most[0] <= 3

    run(test())


def test_the_limit_holds_while_a_coordinator_recovers_its_partitions(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.gated", settings={"max_concurrent_executions": 5}))
            runs = await asyncio.gather(*one.ids("orders", 40, {"gate": str(gate)}))
            await one.log.until(lambda: len(one.log.begun) == 5, "as many runs as may be open")
            await one.quiet()
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await one.quiet()
            assert len(one.log.begun) == 5
            gate.touch()
            await one.log.ended(*runs)

    run(test())


def test_a_flow_that_is_full_keeps_no_other_one_waiting(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("full", "f.gated", settings={"max_concurrent_executions": 1}), chain("orders"))
            held = await asyncio.gather(*one.ids("full", 20, {"gate": str(gate)}))
            await one.log.until(lambda: len(one.log.begun) == 1, "the one run")
            await one.log.ended(*await asyncio.gather(*one.ids("orders", 50)))
            assert len(one.log.begun & set(held)) == 1
            assert one.coordinators[0].counters.admission_closed() == {("full", "max_concurrent_executions"): 1.0}
            gate.touch()
            await one.log.ended(*held)

    run(test())


def test_a_flow_whose_runs_fail_starts_no_more_for_a_while_and_then_again(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "MINIMUM_RUNS", 5)

    async def test() -> None:
        settings = {"circuit_breaker_threshold": 0.5, "circuit_breaker_window_ms": 700, "max_concurrent_executions": 5}
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.picky", settings=settings))
            bad = await asyncio.gather(*one.ids("orders", 5, {"fails": 1}))
            assert {summary.status for summary in await one.log.ended(*bad)} == {"failed"}
            await until(lambda: one.coordinators[0].counters.admission_closed() == {("orders", "breaker"): 1.0}, "an open breaker")
            good = [await one.client.send("orders", {"n": n}) for n in range(10)]
            await one.quiet()
            assert one.log.begun == set(bad), "events wait while it is open"
            assert {summary.status for summary in await one.log.ended(*good)} == {"completed"}
            assert one.coordinators[0].counters.admission_closed() == {}

    run(test())


def test_who_asks_for_a_run_that_an_open_breaker_holds_back_is_told_so(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "MINIMUM_RUNS", 5)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.picky", settings={"circuit_breaker_threshold": 0.5}))
            await one.log.ended(*await asyncio.gather(*one.ids("orders", 5, {"fails": 1})))
            waiting = await one.client.send("orders", {"n": 1})
            while not (why := await why_not_begun(one.client.connection, waiting)):
                await asyncio.sleep(0.05)
            assert why == "events of flow 'orders' wait to become runs: its circuit breaker is open, for too many of its last runs failed"
            checkup = await examine(one.client, tmp_path)
            assert set(checkup.unstarted) == {"orders"}
            assert any("orders starts no runs at the moment" in finding.says for finding in checks.flows(checkup))
            assert await why_not_begun(one.client.connection, "payment-1") == ""

    run(test(), 20)


def test_a_half_open_breaker_tries_again_when_nobody_hears_of_the_run_that_it_tried() -> None:
    one = Breaker(0.5, 1_000)
    for _ in range(breaker.MINIMUM_RUNS):
        one.ended(True, 0)
    assert one.state(999) == "open" and not one.allows(999)
    assert one.allows(1_000)
    one.started(1_000)
    assert not one.allows(1_999)
    assert one.allows(2_000)
    one.started(2_000)
    one.ended(False, 2_100)
    assert one.state(2_100) == "closed"


def test_an_input_that_does_not_fit_into_a_message_fails_its_node_and_says_so(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        names = [f"part{n}" for n in range(18)]
        nodes: dict[str, Any] = {name: {"type": "f.large"} for name in names} | {"all": {"type": "f.echo"}}
        edges = [{"from": "go", "to": name} for name in names] + [{"from": name, "to": "all"} for name in names]
        wide = {
            "name": "wide",
            "triggers": [{"id": "go", "type": "manual"}],
            "nodes": nodes,
            "edges": edges,
            "payloads": {"inline_max": "512KiB"},
        }
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(wide)
            (summary,) = await one.log.ended(await one.client.send("wide", {"bytes": 500_000}))
            assert summary.status == "failed" and summary.error is not None
            assert (summary.error.type, summary.error.node) == ("payload_too_large", "all")
            assert len(one.log.journal(subjects_run(one))) == summary.records

    def subjects_run(one: Fleet) -> str:
        (id,) = one.log.begun
        return id

    run(test())


async def limit(connection: Connection, stream: str, max_bytes: int) -> None:
    info = await connection.streams.stream_info(stream)
    assert info is not None
    await connection.streams.create_or_update_stream(info["config"] | {"max_bytes": max_bytes})


def test_a_full_stream_of_events_refuses_the_publisher_and_loses_nothing_that_it_took(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            connection = one.client.connection
            await one.deploy(chain("other"))
            await limit(connection, subjects.EVENTS, 64 * 1024)
            taken, refused = [], 0
            for n in range(100):
                key = f"k{n}"
                try:
                    await connection.publisher.publish("events.orders.go", b'"' + b"x" * 2_000 + b'"', id=key)
                    taken.append(subjects.run_id("orders", key))
                except StreamFull:
                    refused += 1
            assert taken and refused
            await one.deploy(chain("orders"))
            assert {summary.status for summary in await one.log.ended(*taken)} == {"completed"}
            assert len(one.log.begun) == len(taken)

    run(test())


def test_a_full_wal_holds_runs_up_and_loses_none_also_when_the_coordinator_stops_meanwhile(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1, workers=0) as one:
            await one.deploy(chain("orders", settings={"max_concurrent_executions": 1_000}))
            await limit(one.client.connection, subjects.wal_stream(0), 1)
            runs = await asyncio.gather(*one.ids("orders", 50))
            first = one.coordinators[0]
            await until(lambda: first.outbox.blocked_by != "", "the coordinator to say what blocks it")
            assert one.log.begun == set()
            await one.leave(first)
            await limit(one.client.connection, subjects.wal_stream(0), 1 << 26)
            await one.coordinator()
            await one.worker()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert all(len(set(one.log.of(id, RunStarted))) >= 1 for id in runs)

    run(test())
