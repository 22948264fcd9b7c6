"""Coordinators and workers that are killed or stopped under load: nothing is lost, nothing is stuck, nothing recorded is executed again."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

from jetfleet.broker.deployment import ensure_queue
from jetfleet.broker.topology import queue_consumer_config
from jetfleet.schemas import subjects
from jetfleet.schemas.records import Completion

from .fleet_log import Log
from .fleets import LONG_S, Fleet, chain, coordinator_process, fleet, worker_process
from .running import run
from .trouble import until

PARTITIONS = 4


async def other_owners(one: Fleet, count: int) -> None:
    """Wait until the processes have their share, so that the coordinator of the test has `count` partitions."""
    await until(lambda: len(one.coordinators[0].owners) == count and not one.coordinators[0].ready, f"{count} partitions here")


async def halfway(log: Log, runs: list[str], nodes: int) -> None:
    await log.until(lambda: log.completions() >= len(runs) * nodes // 2, "half of the work")


async def check(one: Fleet, runs: list[str], nodes: int, executions: Path) -> None:
    """All have completed, with every record in the history, and nothing that was on disk was executed again."""
    summaries = await one.log.ended(*runs, deadline_s=LONG_S)
    assert {summary.status for summary in summaries} == {"completed"}
    for id in runs:
        completions = {record.activation for record in one.log.journal(id)[1:]}
        assert len(completions) == nodes
    assert one.log.begun == set(runs)
    assert one.log.reexecuted(executions) == []


def test_kill_9_of_a_coordinator_under_load_loses_nothing(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        executions = tmp_path / "executions"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            with coordinator_process(fresh_url, tmp_path / "other") as other:
                await other_owners(one, 2)
                await one.deploy(chain("orders", *["f.step"] * 3))
                runs = list(await asyncio.gather(*one.ids("orders", 400, {"log": str(executions)})))
                await halfway(one.log, runs, 3)
                other.kill()
                await check(one, runs, 3, executions)
                assert len(one.coordinators[0].owners) == PARTITIONS

    run(test(), 60)


def test_a_thousand_events_all_run_under_the_default_limit_although_a_coordinator_is_killed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        executions = tmp_path / "executions"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            with coordinator_process(fresh_url, tmp_path / "other") as other:
                await other_owners(one, 2)
                await one.deploy(chain("orders", "f.step", "f.echo"))
                runs = list(await asyncio.gather(*one.ids("orders", 1_000, {"log": str(executions)})))
                await halfway(one.log, runs, 1)
                other.kill()
                summaries = await one.log.ended(*runs, deadline_s=LONG_S)
                assert {summary.status for summary in summaries} == {"completed"}
                assert one.log.reexecuted(executions) == []

    run(test(), 60)


def test_a_coordinator_that_was_stopped_and_wakes_up_after_its_partitions_were_taken_does_no_harm(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        executions = tmp_path / "executions"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            with coordinator_process(fresh_url, tmp_path / "other") as other:
                await other_owners(one, 2)
                await one.deploy(chain("orders", *["f.step"] * 3))
                runs = list(await asyncio.gather(*one.ids("orders", 400, {"log": str(executions)})))
                await halfway(one.log, runs, 3)
                other.freeze()
                await other_owners(one, PARTITIONS)
                other.thaw()
                await check(one, runs, 3, executions)
                await other_owners(one, 2)
                later = list(await asyncio.gather(*(one.client.send("orders", {"log": str(executions)}) for _ in range(100))))
                await check(one, runs + later, 3, executions)
                assert other.end() == 0

    run(test(), 60)


def test_a_worker_that_was_stopped_and_wakes_up_later_does_no_harm(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        executions = tmp_path / "executions"
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            connection = one.client.connection
            await ensure_queue(connection, "default")
            await connection.streams.create_or_update_consumer(subjects.TASKS, queue_consumer_config("default") | {"ack_wait": 10**9})
            with ExitStack() as stack:
                sleeper = stack.enter_context(worker_process(fresh_url, tmp_path / "sleeper"))
                await one.deploy(chain("orders", *["f.step"] * 3))
                runs = list(await asyncio.gather(*one.ids("orders", 300, {"log": str(executions)})))
                await halfway(one.log, runs, 3)
                sleeper.freeze()
                await one.worker()
                summaries = await one.log.ended(*runs, deadline_s=LONG_S)
                assert {summary.status for summary in summaries} == {"completed"}
                sleeper.thaw()
                later = list(await asyncio.gather(*(one.client.send("orders", {"log": str(executions)}) for _ in range(100))))
                summaries = await one.log.ended(*runs, *later)
                assert {summary.status for summary in summaries} == {"completed"}
                assert sleeper.end() == 0
                await one.quiet()
                for id in [*runs, *later]:
                    late = len(one.log.of(id, Completion)) - 3
                    assert late >= 0 and len({record.activation for record in one.log.of(id, Completion)}) == 3
                    assert len([part for part in one.log.parts[id] if part.summary is not None]) == 1, "a run ends once"

    run(test(), 60)
