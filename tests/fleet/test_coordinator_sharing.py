"""Coordinators that share partitions: each run is followed by one of them, and nothing is lost when partitions change hands."""

from __future__ import annotations

import asyncio
from pathlib import Path

from jetfleet.broker.client import Connection
from jetfleet.broker.fleet.leases import TAKEN
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Lease
from jetfleet.schemas.records import Completion, RunStarted

from .fleet_log import executed_twice
from .fleets import chain, fleet
from .running import run
from .trouble import until


def test_two_coordinators_share_the_partitions_and_finish_all_runs(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=4, coordinators=2, workers=2) as one:
            await one.shared()
            assert sorted([*one.coordinators[0].owners, *one.coordinators[1].owners]) == [0, 1, 2, 3]
            await one.deploy(chain("orders"))
            runs = await asyncio.gather(*one.ids("orders", 300))
            summaries = await one.log.ended(*runs)
            assert {summary.status for summary in summaries} == {"completed"}
            for id in runs:
                assert [type(record) for record in one.log.journal(id)] == [RunStarted, Completion, Completion, Completion]
            ended = [each.counters.runs_ended["completed"] for each in one.coordinators]
            assert sum(ended) == 300 and min(ended) > 0

    run(test())


def test_a_coordinator_that_leaves_hands_its_open_runs_over_and_none_of_them_begins_again(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log = tmp_path / "executions"
        async with fleet(fresh_url, tmp_path, coordinators=2) as one:
            await one.shared()
            await one.deploy(chain("orders", *["f.step"] * 4))
            runs = await asyncio.gather(*one.ids("orders", 100, {"log": str(log)}))
            await one.log.until(lambda: one.log.completions() > 100, "a quarter of the work")
            await one.leave(one.coordinators[0])
            await one.shared()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert all(len(one.log.journal(id)) == 5 for id in runs)
            assert executed_twice(log) == 0

    run(test())


def test_who_loses_a_lease_lets_go_and_another_goes_on(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, partitions=1) as one, await Connection.open(fresh_url, name="thief") as thief:
            first = one.coordinators[0]
            lost: list[str] = []
            on_lost = first.leases._on_lost

            async def noted(partition: int, reason: str) -> None:
                lost.append(reason)
                await on_lost(partition, reason)

            first.leases._on_lost = noted
            await one.deploy(chain("orders", "f.gated", "f.echo"))
            id = await one.client.send("orders", {"gate": str(gate)})
            await until(lambda: one.open_run(id) is not None, "the run")
            generation = first.leases.generation(0)
            assert generation is not None
            stolen = messages.encode(Lease("nobody-that-lives", 0, generation + 1))
            await thief.publisher.publish(subjects.lease(0), stolen)
            await until(lambda: lost == [TAKEN], "the loss")
            gate.touch()
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed" and len(one.log.journal(id)) == 3
            assert first.leases.generation(0) == generation + 2, "the lease of one who was never seen is taken after its time"

    run(test())
