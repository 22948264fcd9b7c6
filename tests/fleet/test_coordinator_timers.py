"""Timers: near ones in memory, far ones on the server; none fires early, and none is lost with the process that set it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.coordinator import owner, run_timers, snapshots
from jetfleet.schemas import subjects
from jetfleet.schemas.records import RunStarted, TimerFired

from .conftest import ServerFactory
from .fleets import Fleet, chain, fleet, flow
from .running import run
from .trouble import restarted, until

DELAY = {"type": "std::delay", "config": {"duration_ms": 600}}


async def begun(one: Fleet, flow: str, payload: Any = None) -> str:
    id = await one.client.send(flow, payload)
    await until(lambda: one.open_run(id) is not None, "the run")
    return id


def waited_ms(one: Fleet, id: str) -> int:
    """From the beginning of the run to when its timer fired, by the log."""
    (started,), (fired,) = one.log.of(id, RunStarted), one.log.of(id, TimerFired)
    return fired.at - started.at


def test_a_delay_lets_the_run_go_on_not_before_its_time(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("orders", {"pause": DELAY, "end": {"type": "f.echo"}}))
            id = await begun(one, "orders", 1)
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed" and waited_ms(one, id) >= 600

    run(test())


def test_a_failed_attempt_is_repeated_after_its_delay_and_counts(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        retry = {"max_attempts": 3, "initial_delay_ms": 50, "jitter": False}
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("orders", {"try": {"type": "f.picky", "retry": retry}}))
            twice, always = await one.client.send("orders", {"fails": 2}), await one.client.send("orders", {"fails": 9})
            (completed, failed) = await one.log.ended(twice, always)
            assert completed.status == "completed" and failed.status == "failed"
            assert failed.error is not None and (failed.error.type, failed.error.attempts) == ("picky", 3)
            for id in (twice, always):
                kinds = [type(record).__name__ for record in one.log.journal(id)]
                assert kinds == ["RunStarted", "Completion", "TimerFired", "Completion", "TimerFired", "Completion"]

    run(test())


def test_a_run_that_takes_too_long_fails_also_when_its_coordinator_changed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.gated", settings={"execution_timeout_ms": 600}))
            id = await begun(one, "orders", {"gate": str(tmp_path / "never")})
            await one.leave(one.coordinators[0])
            await one.coordinator()
            (summary,) = await one.log.ended(id)
            assert summary.status == "failed" and summary.error is not None and "timeout" in summary.error.type
            assert waited_ms(one, id) >= 600

    run(test())


def patch_far(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every timer is a far one as soon as there is a snapshot, and there is one after every record."""
    for module in (run_timers, snapshots):
        monkeypatch.setattr(module, "HORIZON_MS", 0)
    monkeypatch.setattr(owner, "SNAPSHOT_EVERY_S", 0.05)
    monkeypatch.setattr(owner, "SNAPSHOT_RECORDS", 1)


async def schedules(one: Fleet) -> int:
    stored = one.client.connection.streams.read(subjects.TIMERS, subject="timer.>")
    return len([message async for message in stored])


async def handed_over(one: Fleet) -> None:
    """Wait until the server has the timer and nobody has it in memory."""

    async def there() -> bool:
        near = [len(each.partition.timers.near) for each in one.coordinators[0].owners.values() if each.partition is not None]
        return await schedules(one) == 1 and sum(near) == 0

    found = False
    while not found:
        found = await there()


@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "crashed"])
def test_a_far_timer_outlives_the_server_and_the_coordinator(
    server_factory: ServerFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, orderly: bool
) -> None:
    patch_far(monkeypatch)

    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path) as one:
            long = {"type": "std::delay", "config": {"duration_ms": 4_000 if not orderly else 2_000}}
            await one.deploy(flow("orders", {"pause": long, "end": {"type": "f.echo"}}))
            id = await begun(one, "orders", 1)
            await handed_over(one)
            await (one.leave if orderly else one.crash)(one.coordinators[0])
            await restarted(server)
            await one.coordinator()
            await until(lambda: one.open_run(id) is not None, "the run in the hands of the next one")
            assert one.log.of(id, TimerFired) == []
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed" and waited_ms(one, id) >= 2_000
            assert await schedules(one) == 0

    run(test())


def test_a_far_timer_that_is_not_wanted_any_more_is_taken_from_the_server(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patch_far(monkeypatch)

    async def test() -> None:
        wait = {"type": "std::wait", "config": {"signal": "go", "timeout_ms": 3_600_000}}
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("orders", {"wait": wait, "end": {"type": "f.echo"}}))
            id = await begun(one, "orders", 1)
            await handed_over(one)
            await one.client.signal(id, "go")
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed"
            while await schedules(one):
                pass

    run(test())
