"""Runs that have to do with one another, and with people: children, events, signals; across partitions and coordinators."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas import subjects
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import CancelRequested, ChildEnded, Completion, PauseRequested, ResumeRequested, RunStarted, SignalReceived

from .fleets import Fleet, chain, fleet, flow
from .running import run
from .trouble import until

PARTITIONS = 4


def call(child: str, **config: Any) -> dict[str, Any]:
    return {"type": "std::subflow", "config": {"flow": child, **config}}


async def open_runs(one: Fleet, *ids: str) -> None:
    await until(lambda: all(one.open_run(id) is not None for id in ids), f"open runs {ids}")


def partitions_of(ids: Any) -> set[int]:
    return {subjects.partition_of(id, PARTITIONS) for id in ids}


@pytest.mark.parametrize("coordinators", [1, 2])
def test_children_run_in_other_partitions_and_their_outputs_come_back(fresh_url: str, tmp_path: Path, coordinators: int) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS, coordinators=coordinators) as one:
            await one.shared()
            await one.deploy(chain("child", "f.echo"), flow("parent", {"call": call("child"), "after": {"type": "f.echo"}}))
            parents = await asyncio.gather(*one.ids("parent", 30))
            for id, summary in zip(parents, await one.log.ended(*parents), strict=True):
                child = f"{id}.call"
                assert decode(summary.output) == decode(one.log.summary(child).output)  # type: ignore[union-attr]
                assert [record.parent for record in one.log.of(child, RunStarted)] == [(id, (0,))]
                assert [record.child for record in one.log.journal(id) if isinstance(record, ChildEnded)] == [child]
            assert any(partitions_of([id]) != partitions_of([f"{id}.call"]) for id in parents)

    run(test())


def test_a_child_that_fails_fails_its_parent_with_the_same_error(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            await one.deploy(chain("child", "f.picky"), flow("parent", {"call": call("child")}), flow("lost", {"call": call("nobody")}))
            id = await one.client.send("parent", {"fails": 1})
            orphan = await one.client.send("lost", 1)
            summaries = await one.log.ended(id, f"{id}.call", orphan)
            assert {summary.status for summary in summaries} == {"failed"}
            assert [summary.error.type for summary in summaries if summary.error] == ["picky", "picky", "unknown_flow"]

    run(test())


def test_nobody_waits_for_a_detached_child_which_outlives_its_parent(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            await one.deploy(chain("child", "f.gated"), flow("parent", {"call": call("child", detached=True)}))
            id = await one.client.send("parent", {"gate": str(gate)})
            await one.log.ended(id)
            await open_runs(one, f"{id}.call")
            await one.client.cancel(id)
            gate.touch()
            (summary,) = await one.log.ended(f"{id}.call")
            assert summary.status == "completed" and summary.parent == id

    run(test())


@pytest.mark.parametrize("kill", [False, True], ids=["cancelled", "killed"])
def test_whoever_ends_a_parent_ends_its_children_in_other_partitions(fresh_url: str, tmp_path: Path, kill: bool) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            await one.deploy(
                chain("grandchild", "f.gated"), flow("child", {"call": call("grandchild")}), flow("parent", {"call": call("child")})
            )
            id = await one.client.send("parent", {"gate": str(tmp_path / "never")})
            family = [id, f"{id}.call", f"{id}.call.call"]
            await open_runs(one, *family)
            await (one.client.kill if kill else one.client.cancel)(id, "enough")
            summaries = await one.log.ended(*family)
            assert {summary.status for summary in summaries} == {"killed" if kill else "cancelled"}
            assert [record.kill for child in family for record in one.log.of(child, CancelRequested)] == [kill] * 3

    run(test())


WAITING = flow("waiting", {"wait": {"type": "std::wait", "config": {"event": "paid", "correlate": {"id": "${trigger.payload.id}"}}}})


def test_an_event_reaches_the_runs_that_wait_for_it_in_whatever_partition_and_no_others(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        emit = {"type": "std::emit", "config": {"subject": "paid", "payload": "${trigger.payload}"}}
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS, coordinators=2) as one:
            await one.shared()
            await one.deploy(WAITING, flow("emitting", {"emit": emit}))
            alike = [await one.client.send("waiting", {"id": 7}) for _ in range(12)]
            others = [await one.client.send("waiting", {"id": 8}) for _ in range(4)]
            await open_runs(one, *alike, *others)
            assert len(partitions_of(alike)) > 1
            await one.log.ended(await one.client.send("emitting", {"id": 7, "sum": 5}))
            assert {summary.status for summary in await one.log.ended(*alike)} == {"completed"}
            assert all(one.open_run(id) is not None for id in others)
            await one.client.event("paid", {"id": 8}, id="e1")
            assert {summary.status for summary in await one.log.ended(*others)} == {"completed"}

    run(test())


def test_an_event_finds_the_runs_that_waited_for_it_before_the_coordinator_changed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(WAITING)
            runs = [await one.client.send("waiting", {"id": 7}) for _ in range(6)]
            await open_runs(one, *runs)
            await one.leave(one.coordinators[0])
            await one.client.event("paid", {"id": 7})
            await one.coordinator()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}

    run(test())


def test_an_emitted_event_that_names_a_flow_starts_one_run_of_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        emit = {"type": "std::emit", "config": {"subject": "started.go", "payload": {"n": 7}}}
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("started", "f.echo"), flow("emitting", {"emit": emit}))
            id = await one.client.send("emitting", 1)
            await one.log.ended(id)
            await one.log.until(lambda: any(part[0].summary for run, part in one.log.parts.items() if run != id), "the other run")
            await one.quiet()
            (started,) = one.log.begun - {id}
            assert decode(one.log.summary(started).output) == {"n": 7}  # type: ignore[union-attr]

    run(test())


def test_a_signal_is_kept_for_a_run_that_does_not_wait_for_it_yet_and_taken_once(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        nodes = {"a": {"type": "f.gated"}, "b": {"type": "std::wait", "config": {"signal": "go"}}, "c": {"type": "f.echo"}}
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(flow("orders", nodes))
            id = await one.client.send("orders", {"gate": str(gate)})
            await open_runs(one, id)
            for _ in range(2):
                await one.client.signal(id, "go", {"by": "hand"}, id="s1")
            await one.quiet()
            assert one.coordinators[0].counters.records_ignored == 1
            gate.touch()
            (summary,) = await one.log.ended(id)
            assert decode(summary.output)["response"] == {"by": "hand"}
            kinds = [type(record) for record in one.log.journal(id)]
            assert kinds == [RunStarted, SignalReceived, SignalReceived, Completion, Completion]

    run(test())


def test_a_paused_run_goes_on_only_when_it_is_resumed_also_by_another_coordinator(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        gate = tmp_path / "gate"
        async with fleet(fresh_url, tmp_path) as one:
            await one.deploy(chain("orders", "f.gated", "f.echo"))
            id = await one.client.send("orders", {"gate": str(gate)})
            await open_runs(one, id)
            await one.client.pause(id, "lunch")
            gate.touch()
            await one.log.until(lambda: len(one.log.of(id, Completion)) == 1, "the end of what was running")
            await one.quiet()
            view = await one.client.look(id)
            assert view is not None and view.status == "paused" and len(one.log.of(id, Completion)) == 1
            await one.leave(one.coordinators[0])
            await one.coordinator()
            await one.client.resume(id)
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed"
            kinds = [type(record) for record in one.log.journal(id)]
            assert kinds == [RunStarted, PauseRequested, Completion, ResumeRequested, Completion]

    run(test())


def test_a_signal_that_overtakes_the_event_which_starts_its_run_is_kept_for_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=PARTITIONS) as one:
            nodes = {"b": {"type": "std::wait", "config": {"signal": "go"}}, "c": {"type": "f.echo"}}
            await one.deploy(flow("waits", nodes))
            id = subjects.run_id("waits", "later")
            await one.client.signal(id, "go", {"by": "early"}, id="s1")
            await one.client.signal(subjects.run_id("waits", "never"), "go", 1)
            await one.client.send("waits", 1, id="later")
            (summary,) = await one.log.ended(id)
            assert summary.status == "completed"
            assert [type(record).__name__ for record in one.log.journal(id)][:2] == ["RunStarted", "SignalReceived"]

    run(test())
