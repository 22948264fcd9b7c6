"""Retries on a real fleet: what was completed is not executed again, whoever dies meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.api.errors import UnknownRun
from jetfleet.broker.api.events import Events
from jetfleet.broker.api.reopening_errors import NotFailed, NothingToRetry, RunOpen
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import BatchedEvent
from jetfleet.schemas.payload import encode
from jetfleet.schemas.records import ChildEnded, RunReopened, RunStarted

from ..fleet.conftest import ServerFactory
from ..fleet.fleets import chain, coordinator_process, flow
from ..fleet.running import run
from ..fleet.trouble import until
from .reopening_fleet import deploy, failed, listed, reopening_fleet
from .reopening_nodes import executed

CHAIN = chain("orders", "r.plain", "r.step", "r.plain", settings={"circuit_breaker_threshold": 1})
SAGA = flow(
    "saga",
    {"book": {"type": "r.plain", "compensate": "unbook"}, "pay": {"type": "r.step"}, "unbook": {"type": "r.plain"}},
    ["book -> pay"],
)


def event(folder: Path, **more: Any) -> dict[str, Any]:
    return {"log": str(folder / "executed"), "broken": str(folder / "broken")} | more


def test_a_retry_executes_only_what_had_not_completed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log, broken = tmp_path / "executed", tmp_path / "broken"
        async with reopening_fleet(fresh_url, tmp_path) as one:
            await deploy(one, CHAIN, SAGA)
            client = one.client
            broken.touch()
            id = await failed(client, "orders", event(tmp_path), id="k1")

            # it fails once more, and the second life is one of its own
            handle = await client.retry(id, reason="the bank is back")
            assert handle.reopened is not None and handle.reopened.kept == ("n0",)
            assert (await handle.result(10)).status == "failed"
            broken.unlink()
            result = await (await client.retry(id)).result(10)
            assert result.status == "completed" and result.output["n"] == 2
            assert executed(log) == ["n0", "n1", "n1", "n1", "n2"]

            # the journal is one, and folds to what happened
            shown = await client.show(id)
            assert shown.status == "completed" and shown.nodes()["n1"].attempts == 3
            assert [record.reason for record in shown.journal if isinstance(record, RunReopened)] == ["the bank is back", ""]
            assert len(one.log.journal(id)) == len(shown.journal)
            (row,) = await listed(client, f"id = {id} and status = completed")
            assert row.records == len(shown.journal) and row.error_type is None

            # the start event once more starts nothing
            await Events(client.connection.publisher).send(subjects.event("orders", "go"), BatchedEvent("k1", encode(event(tmp_path))))
            await one.log.until(lambda: len(one.log.of(id, RunStarted)) == 2, "the repeated start")
            await one.quiet()
            assert one.open_run(id) is None and executed(log) == ["n0", "n1", "n1", "n1", "n2"]

            # who is completed, or open, or unknown, is refused
            with pytest.raises(NotFailed):
                await client.retry(id)
            with pytest.raises(UnknownRun):
                await client.retry("orders-0000")
            gate = tmp_path / "gate"
            waiting = await client.start("orders", event(tmp_path, gate=str(gate)))
            await one.log.until(lambda: len(one.log.records.get(waiting.id, [])) == 2, "its first node")
            with pytest.raises(RunOpen):
                await client.retry(waiting.id)

            # a run that was cancelled goes on too
            await waiting.cancel()
            assert (await waiting.result(10)).status == "cancelled"
            gate.touch()
            assert (await (await client.retry(waiting.id)).result(10)).status == "completed"

            # what was undone is done again
            log.unlink()
            broken.touch()
            saga = await failed(client, "saga", event(tmp_path))
            broken.unlink()
            assert (await (await client.retry(saga)).result(10)).status == "completed"
            assert executed(log) == ["book", "pay", "unbook", "book", "pay"]

    run(test(), 60)


def test_a_parent_is_tried_again_with_a_new_child_and_a_child_by_itself_tells_nobody(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        broken = tmp_path / "broken"
        async with reopening_fleet(fresh_url, tmp_path) as one:
            await deploy(
                one, CHAIN, flow("parent", {"sub": {"type": "std::subflow", "config": {"flow": "orders"}}, "n9": {"type": "r.plain"}})
            )
            client = one.client
            broken.touch()
            parent = await failed(client, "parent", event(tmp_path))
            child = f"{parent}.sub"
            broken.unlink()

            # the child alone: it completes, and its parent stays as it ended
            assert (await (await client.retry(child)).result(10)).status == "completed"
            await one.log.until(lambda: len(one.log.of(parent, ChildEnded)) == 2, "the second answer of the child")
            await one.quiet()
            assert one.open_run(parent) is None and len(await client.history(parent)) == 2

            # the parent: a child of its own for this life
            assert (await (await client.retry(parent)).result(10)).status == "completed"
            assert [each.child for each in one.log.of(parent, ChildEnded)] == [child, child, f"{child}.2"]
            assert executed(tmp_path / "executed") == ["n0", "n1", "n1", "n2", "n0", "n1", "n2", "n9"]

    run(test(), 40)


def test_a_run_that_would_fail_again_at_once_is_not_tried_again(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with reopening_fleet(fresh_url, tmp_path) as one:
            await deploy(
                one,
                flow("hopeless", {"n0": {"type": "r.plain"}, "no": {"type": "std::raise", "config": {"type": "no", "message": "never"}}}),
            )
            id = await failed(one.client, "hopeless", event(tmp_path))
            with pytest.raises(NothingToRetry, match="no"):
                await one.client.retry(id)
            await one.quiet()
            assert not one.log.of(id, RunReopened)

    run(test(), 30)


def test_a_retried_run_survives_the_death_of_its_owner_and_a_take_over_from_a_snapshot(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    async def test() -> None:
        url = server_factory().url
        log, broken, gate = tmp_path / "executed", tmp_path / "broken", tmp_path / "gate"
        async with reopening_fleet(url, tmp_path, coordinators=0) as one:
            with coordinator_process(url, tmp_path / "first") as first:
                await deploy(one, CHAIN)
                broken.touch()
                runs = [await failed(one.client, "orders", event(tmp_path, gate=str(gate)), id=f"k{n}") for n in range(4)]
                broken.unlink()
                first.freeze()
                # while nobody takes them in: the next owner finds them at the end of the log, and fetches
                handles = list(await asyncio.gather(*map(one.client.retry, runs[:2])))
                first.kill()
            handles += await asyncio.gather(*map(one.client.retry, runs[2:]))
            await one.coordinator()
            await until(lambda: all(one.open_run(id) is not None for id in runs), "the runs to be open again")
            # in order: its snapshot has the runs as they are now, and their first lives among those that ended
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await until(lambda: all(one.open_run(id) is not None for id in runs), "the runs to be open still")
            gate.touch()
            assert {(await handle.result(20)).status for handle in handles} == {"completed"}
            counts = Counter(executed(log))
            assert counts["n0"] == counts["n2"] == 4
            await one.log.until(lambda: all(RunReopened in map(type, one.log.journal(id)) for id in runs), "the history is read")
            for id in runs:
                assert len(one.log.of(id, RunReopened)) == 1
                assert [type(record) for record in one.log.journal(id)].count(RunReopened) == 1

            # a run that is in a snapshot, ends, and is reopened before the next one: two at once are one
            gate.unlink()
            waiting = await one.client.start("orders", event(tmp_path, gate=str(gate)))
            await one.log.until(lambda: len(one.log.records.get(waiting.id, [])) == 2, "its first node")
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await waiting.kill()
            assert (await waiting.result(10)).status == "killed"
            asked = await asyncio.gather(one.client.retry(waiting.id), one.client.retry(waiting.id), return_exceptions=True)
            twice = [answer for answer in asked if not isinstance(answer, RunOpen)]  # the second may come when it is open already
            await one.quiet()
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await until(lambda: one.open_run(waiting.id) is not None, "the run to be open from the snapshot")
            gate.touch()
            assert {(await handle.result(20)).status for handle in twice if not isinstance(handle, BaseException)} == {"completed"}

            # and once more: all lives have ended, which is remembered
            await one.leave(one.coordinators[0])
            await one.coordinator()
            assert all(one.open_run(id) is None for id in [*runs, waiting.id])
            assert [type(record) for record in one.log.journal(waiting.id)].count(RunReopened) == 1

    run(test(), 90)


def test_kill_9_of_a_coordinator_while_many_runs_are_reopened_loses_none(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        log, broken = tmp_path / "executed", tmp_path / "broken"
        async with reopening_fleet(fresh_url, tmp_path, partitions=4) as one:
            with coordinator_process(fresh_url, tmp_path / "other") as other:
                await until(lambda: len(one.coordinators[0].owners) == 2 and not one.coordinators[0].ready, "two partitions here")
                await deploy(one, CHAIN)
                broken.touch()
                runs = await asyncio.gather(*(one.client.send("orders", event(tmp_path), id=f"k{n}") for n in range(60)))
                await one.log.ended(*runs)
                broken.unlink()
                await asyncio.gather(*map(one.client.retry, runs[:30]))
                other.kill()
                await asyncio.gather(*map(one.client.retry, runs[30:]))
                async with asyncio.timeout(40):
                    while len((await one.client.runs("status = completed", limit=500)).rows) < len(runs):
                        await asyncio.sleep(0.05)
            await one.quiet()
            counts = Counter(executed(log))
            assert counts["n0"] == counts["n2"] == 60 and counts["n1"] == 120
            for id in runs:
                journal = one.log.journal(id)
                assert len(one.log.of(id, RunReopened)) == sum(isinstance(record, RunReopened) for record in journal) == 1

    run(test(), 90)
