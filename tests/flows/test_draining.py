"""Draining: no new runs, time for the open ones, and then their end, whoever is there to see to it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api import UnknownFlow
from jetfleet.broker.api.flow_errors import AmbiguousVersion, TooManyVersions, UnknownVersion, VersionIsCurrent
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import DRAINING, PAUSED, RUNNING
from jetfleet.schemas.records import CancelRequested

from ..fleet.fleets import Fleet, fleet, flow
from ..fleet.running import run
from ..fleet.trouble import until

WAITS = {"wait": {"type": "std::wait", "config": {"signal": "go"}}, "after": {"type": "f.echo"}}
STUBBORN = {
    "pay": {"type": "f.echo", "compensate": "back"},
    "wait": {"type": "std::wait", "config": {"signal": "go"}},
    "back": {"type": "f.gated"},
}
"""When it is cancelled, what it undoes first waits for a file."""


def waits(name: str, version: str = "1.0", **settings: Any) -> dict[str, Any]:
    return flow(name, WAITS, version=version, settings=settings)


async def started(one: Fleet, name: str, count: int, prefix: str = "k") -> list[str]:
    """So many runs that are open."""
    before = (await one.client.flow(name)).open
    runs = [await one.client.send(name, {"n": n}, id=f"{prefix}{n}") for n in range(count)]
    async with asyncio.timeout(15):
        while (await one.client.flow(name)).open != before + count:
            await asyncio.sleep(0.05)
    return runs


def test_a_flow_is_drained_when_its_last_run_has_ended_and_its_events_wait(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.deploy(waits("orders"))
            runs = await started(one, "orders", 10)
            view = await one.client.drain_flow("orders", reason="going home")
            assert (view.condition, view.open, view.reason, view.followed) == (DRAINING, 10, "going home", True)
            assert view.drain is not None and view.drain.kill_at - view.drain.cancel_at == 300_000, "the times of its settings"
            later = await one.client.send("orders", 1)
            for id in runs:
                await one.client.signal(id, "go")
            view = await one.client.drained("orders", timeout_s=15)
            assert (view.condition, view.open, view.waiting) == ("drained", 0, 1)
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert later not in one.log.begun
            await one.client.undeploy("orders")
            await one.deploy(waits("orders"))
            assert (await one.client.flow("orders")).condition == RUNNING, "what was drained starts anew"
            await one.log.until(lambda: later in one.log.begun, "the event that waited")

    run(test(), 60)


def test_the_times_of_a_drain_act_although_nobody_was_there_when_they_came(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            stubborn = flow("stubborn", STUBBORN, ["pay -> wait"], settings={"drain_timeout_ms": 1_000, "drain_grace_period_ms": 3_000})
            await one.deploy(waits("orders", drain_timeout_ms=1_000), stubborn, waits("others"))
            runs = await started(one, "orders", 20)
            other, hangs = (await started(one, "others", 1))[0], await one.client.send("stubborn", {"gate": str(gate)})
            await until(lambda: one.open_run(hangs) is not None, "the stubborn run")
            await one.client.drain_flow("orders")
            drain = (await one.client.drain_flow("stubborn")).drain
            for each in list(one.coordinators):
                await one.crash(each)
            assert drain is not None
            await until(lambda: time.time() * 1_000 > drain.cancel_at, "a time that nobody sees")
            await one.coordinator()
            summaries = await one.log.ended(*runs)
            assert {summary.status for summary in summaries} == {"cancelled"}
            assert {summary.error.message for summary in summaries if summary.error} == {
                "it was still open when the time to drain flow orders was over"
            }
            assert {len(one.log.of(id, CancelRequested)) for id in runs} == {1}
            await one.crash(one.coordinators[0])
            await one.coordinator()
            (killed,) = await one.log.ended(hangs)
            assert killed.status == "killed", "its compensation had a grace period, and no longer"
            assert one.open_run(other) is not None, "others go on"
            assert (await one.client.drained("orders", timeout_s=15)).condition == "drained"

    run(test(), 90)


def test_runs_that_were_paused_with_their_flow_go_on_when_it_is_drained_instead(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(waits("orders"))
            runs = await started(one, "orders", 3)
            await one.client.pause_flow("orders", runs=True)
            for id in runs:
                await one.client.signal(id, "go")
            await until(lambda: all((found := one.open_run(id)) is not None and found.paused for id in runs), "runs to be paused")
            await one.client.drain_flow("orders")
            assert (await one.client.drained("orders", timeout_s=15)).condition == "drained"
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}

    run(test(), 30)


def test_a_state_that_nobody_can_read_holds_nothing_and_can_be_replaced(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(waits("orders"))
            await one.client.connection.publisher.publish(subjects.flow_state("orders"), b"broken")
            await started(one, "orders", 1)
            assert (await one.client.pause_flow("orders")).state == PAUSED
            assert (await one.client.flow("orders")).followed

    run(test(), 30)


def test_a_version_is_drained_while_new_runs_begin_with_another(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(waits("orders"))
            old = await started(one, "orders", 5)
            with pytest.raises(VersionIsCurrent, match="new runs"):
                await one.client.drain_flow("orders", "1.0")
            await one.deploy(waits("orders", "2.0"))
            new = await started(one, "orders", 5, "new")
            versions = await one.client.flow_versions("orders")
            assert [(each.version, each.share, each.open) for each in versions] == [("2.0", 100, 5), ("1.0", 0, 5)]
            await one.client.drain_flow("orders", versions[1].digest[:8], timeout_ms=0)
            view = await one.client.drained("orders", "1.0", timeout_s=15)
            assert view.state == RUNNING and view.open == 5
            assert {summary.status for summary in await one.log.ended(*old)} == {"cancelled"}
            assert all(one.open_run(id) for id in new)
            await one.client.roll_back_flow("orders")
            again = await started(one, "orders", 1, "again")
            await one.quiet()
            assert one.open_run(again[0]) is not None, "a version that is current once more is drained no more"
            view = await one.client.flow("orders")
            assert view.versions[0].version == "1.0" and view.versions[0].drain is None

    run(test(), 60)


def test_more_versions_than_the_flow_allows_are_refused_while_their_runs_are_open(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            for version in ("1.0", "2.0"):
                await one.deploy(waits("orders", version, max_concurrent_versions=2))
                await started(one, "orders", 2, version)
            with pytest.raises(TooManyVersions, match=r"1\.0 \(.*2 open\), 2\.0 .*flow drain orders --version") as refused:
                await one.deploy(waits("orders", "3.0", max_concurrent_versions=2))
            assert refused.value.code == "TOO_MANY_VERSIONS"
            assert (await one.client.flow("orders")).versions[0].version == "2.0", "nothing was changed"
            await one.deploy(waits("orders", "1.0", max_concurrent_versions=2))
            await one.client.drain_flow("orders", "2.0", timeout_ms=0)
            await one.client.drained("orders", "2.0", timeout_s=15)
            await one.deploy(waits("orders", "3.0", max_concurrent_versions=2))
            await started(one, "orders", 1, "third")
            found = await one.client.deploy(waits("orders", "4.0", max_concurrent_versions=2), nodes=[], force=True)
            assert found.changed

    run(test(), 60)


def test_what_is_not_there_is_answered_with_what_is(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, coordinators=0, workers=0) as one:
            await one.deploy(waits("orders"), waits("orders", max_concurrent_executions=3), waits("orders", "2.0"))
            for refused in (one.client.pause_flow, one.client.drain_flow, one.client.flow_versions, one.client.resume_flow):
                with pytest.raises(UnknownFlow, match="did you mean 'orders'"):
                    await refused("ordesr")
            with pytest.raises(UnknownVersion, match=r"did you mean '2\.0'"):
                await one.client.drain_flow("orders", "2.1")
            with pytest.raises(AmbiguousVersion, match=r"2 versions .* by its digest"):
                await one.client.roll_back_flow("orders", "1.0")

    run(test())
