"""A worker and its tasks: executed, recorded, acknowledged; given back when they cannot be; buried when nobody can read them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from jetfleet.broker.definitions import define
from jetfleet.broker.observe.tracing import Tracing
from jetfleet.broker.versions import deploy
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import AttemptId, encode, encode_all, join
from jetfleet.schemas.payload import decode
from jetfleet.workers.fleet import processor

from .running import run
from .task_owner import FLOW, PLAN, output, owner, task
from .trouble import until
from .worker_processes import worker


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are given back without waiting for long."""
    monkeypatch.setattr(processor, "LACKING_DELAY_S", (0.01, 0.02))


def executions(log: Path) -> list[str]:
    """The runs in the order in which the nodes were executed."""
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def test_a_batch_of_tasks_is_executed_recorded_and_acknowledged(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            await fleet.give([task("double", f"r{n}", {"n": n}) for n in range(64)])
            ends = await fleet.ends(*(f"r{n}" for n in range(64)))
            assert [output(end)["n"] for end in ends] == [2 * n for n in range(64)]
            assert {end.worker for end in ends} == {one.id}
            await fleet.none_left()

    run(test())


def test_nodes_that_wait_have_a_slot_each_and_hold_up_nobody(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path, concurrency=2) as one:
            await fleet.give([task("gated", "a", value)])
            await fleet.give([task("blocking", "b", value)])
            await until(lambda: len(executions(tmp_path / "log")) == 2, "both are being executed")
            await fleet.give([task("gated", "c", value)])
            await fleet.give([task("gated", "d", value)])
            await until(lambda: len(one.slots.running) == 2, "both slots are taken")
            assert await fleet.tasks_left() == 4 and not fleet.completions
            (tmp_path / "gate").touch()
            await fleet.ends("a", "b", "c", "d")
            await fleet.none_left()
            assert sorted(executions(tmp_path / "log")) == ["a", "b", "c", "d"]

    run(test())


@pytest.mark.part("process pool")
def test_a_node_that_takes_its_process_down_fails_its_own_attempt_only(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            names = ("segfault", "exit", "spin", "hoard")
            for name in names:
                await fleet.give([task(name, name)])
            await fleet.give([task("double", "r", {"n": 1})])
            ends = await fleet.ends(*names, "r")
            found = [(end.error.type, end.error.message) if end.error else None for end in ends]
            assert found[0] == ("process_died", "the node's process died: killed by SIGSEGV")
            assert found[1] == ("process_died", "the node's process died: exit code 3")
            assert found[2] == ("timeout", "the node did not end within 300 ms")
            assert found[3] == ("process_died", "the node's process died: out of memory")
            assert found[4] is None

    run(test(), 60)


def test_a_repeated_task_is_executed_only_if_its_owner_wants_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            fleet.unwanted.add("done")
            tasks = [task("noted", "done", value, repeated=True), task("noted", "open", value, repeated=True), task("noted", "new", value)]
            await fleet.give(tasks)
            await fleet.ends("open", "new")
            await fleet.none_left()
            assert sorted(executions(tmp_path / "log")) == ["new", "open"]
            assert {asked.run for asked in fleet.asked} == {"done", "open"}

    run(test())


def test_a_worker_waits_for_an_owner_who_knows(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log")}
        async with owner(fresh_url, answering=False) as fleet, worker(fresh_url, tmp_path) as one:
            await fleet.give([task("noted", "r", value, repeated=True)])
            await until(lambda: bool(one.processor.units), "the message is in work")
            await fleet.give([task("double", "other", {"n": 1})])
            await fleet.ends("other")
            assert executions(tmp_path / "log") == []
            await fleet.answer()
            await fleet.ends("r")

    run(test())


def test_tasks_of_a_type_that_is_not_served_here_go_to_a_worker_that_serves_it(fresh_url: str, tmp_path: Path, hurried: None) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path, nodes=None) as lacking:
            await fleet.give([task("double", "r", {"n": 1})])
            await until(lambda: lacking.counters.given_back >= 2, "given back more than once")
            assert set(lacking.processor.lacking) == {"t.double"} and not fleet.completions
            async with worker(fresh_url, tmp_path) as serving:
                (end,) = await fleet.ends("r")
                assert (end.worker, output(end)) == (serving.id, {"n": 2})
                assert serving.counters.redeliveries == 0, "being given back is nobody's death"
                await fleet.none_left()

    run(test())


def test_a_plan_that_is_not_known_is_fetched_or_waited_for(fresh_url: str, tmp_path: Path, hurried: None) -> None:
    async def test() -> None:
        async with owner(fresh_url, deploying=False) as fleet, worker(fresh_url, tmp_path) as one:
            await fleet.give([task("double", "r", {"n": 1})])
            await until(lambda: one.counters.given_back >= 1, "given back")
            await deploy(fleet.connection, define(FLOW))
            assert output((await fleet.ends("r"))[0]) == {"n": 2}

    run(test())


def test_what_cannot_be_read_is_buried_and_the_rest_is_executed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            publish = fleet.connection.publisher.publish
            nowhere = msgspec.structs.replace(task("double", "lost"), activation=(99,))
            entries = [b"\xa4junk", encode(task("double", "r", {"n": 1})), encode(nowhere), msgspec.msgpack.encode(["only", "two"])]
            await publish(subjects.tasks("default"), join(entries))
            await publish(subjects.tasks("default"), b"\xc1 no batch")
            await fleet.ends("r")
            await fleet.until(lambda: len(fleet.letters) == 4, "four dead letters")
            await fleet.none_left()
            assert {letter.where for letter in fleet.letters} == {"entry 0", "entry 3", "run lost", "message"}
            assert all(letter.kind == "task" and letter.subject == "tasks.default" and letter.reason for letter in fleet.letters)
            assert list(fleet.completions) == ["r"]

    run(test())


def test_a_large_output_travels_by_reference(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            inline_max = PLAN.payloads.inline_max_bytes
            await fleet.give([task("large", "small", {"bytes": inline_max - 5}), task("large", "large", {"bytes": inline_max + 1})])
            small, large = await fleet.ends("small", "large")
            assert len(decode(small.output)) == inline_max - 5
            ref = decode(large.output)
            assert (ref.length, ref.run, ref.activation) == (inline_max + 1, "large", (PLAN.node("large").index,))

    run(test())


def test_an_attempt_that_is_called_off_is_cancelled_and_reports_nothing(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path, concurrency=2) as one:
            for name, runs in (("gated", "a"), ("blocking", "b")):
                await fleet.give([task(name, runs, value)])
            await until(lambda: len(executions(tmp_path / "log")) == 2, "both are being executed")
            notices = [AttemptId(each, (PLAN.node(name).index,), 1) for name, each in (("gated", "a"), ("blocking", "b"))]
            await fleet.connection.send(subjects.CANCEL, b"\xc1 unreadable")
            await fleet.connection.send(subjects.CANCEL, encode_all([*notices, AttemptId("unknown", (0,), 1)]))
            await fleet.none_left()
            await until(lambda: not one.slots.running, "the slots are free")
            assert not fleet.completions

    run(test())


def test_a_quiet_worker_finishes_what_it_has_and_takes_no_more(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path / "a") as one:
            await fleet.give([task("gated", "first", value)])
            await until(lambda: len(executions(tmp_path / "log")) == 1, "it is being executed")
            await one.quiet()
            await fleet.give([task("gated", "second", value)])
            (tmp_path / "gate").touch()
            await fleet.ends("first")
            await one.idle()
            assert executions(tmp_path / "log") == ["first"]
            async with worker(fresh_url, tmp_path / "b"):
                await fleet.ends("second")

    run(test())


def test_what_a_stopped_worker_could_not_finish_is_given_back_at_once_and_is_no_death(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url, ack_wait_s=600) as fleet:
            async with worker(fresh_url, tmp_path / "a") as one:
                await fleet.give([task("gated", "r", value)])
                await until(lambda: len(executions(tmp_path / "log")) == 1, "it is being executed")
                await one.stop(0)
            (tmp_path / "gate").touch()
            async with worker(fresh_url, tmp_path / "b") as other:
                assert (await fleet.ends("r"))[0].worker == other.id
                assert [asked.run for asked in fleet.asked] == ["r"] and other.counters.redeliveries == 0
                await fleet.none_left()

    run(test())


def test_a_worker_is_known_to_the_others_with_what_it_serves(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with (
            owner(fresh_url),
            worker(fresh_url, tmp_path / "a", concurrency=3) as one,
            worker(fresh_url, tmp_path / "b", nodes=None) as other,
        ):
            await until(lambda: other.membership.alive(one.id), "the second worker has heard of the first")
            facts = next(member.facts for member in other.membership.others("worker") if member.id == one.id)
            assert (facts["queues"], facts["slots"], facts["busy"]) == (["default"], 3, 0)
            assert "t.double" in facts["types"] and "std::set" in facts["types"]
            await one.stop(0)
            await until(lambda: other.membership.gone(one.id), "it has heard of its end")

    run(test())


def test_the_same_attempt_is_executed_once_at_a_time(fresh_url: str, tmp_path: Path) -> None:
    """The server takes a message away from a worker that was stopped for a while, and gives it to the same worker again."""

    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path / "gate")}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path):
            await fleet.give([task("gated", "r", value)])
            await until(lambda: len(executions(tmp_path / "log")) == 1, "it is being executed")
            await fleet.give([task("gated", "r", value, repeated=True)])
            await until(lambda: bool(fleet.asked), "the repetition was asked about")
            (tmp_path / "gate").touch()
            await fleet.ends("r")
            await fleet.none_left()
            assert executions(tmp_path / "log") == ["r"]

    run(test())


def test_every_attempt_is_a_span_wherever_it_is_executed(fresh_url: str, tmp_path: Path) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def test() -> None:
        value = {"log": str(tmp_path / "log"), "gate": str(tmp_path)}
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path, tracing=Tracing(provider.get_tracer("test"))):
            await fleet.give([task("double", "a", {"n": 1}), task("double", "b", "no map"), task("gated", "c", value)])
            await fleet.ends("a", "b", "c")

    run(test())
    spans = {str((span.attributes or {})["jetfleet.run"]): span for span in exporter.get_finished_spans()}
    assert {name: span.name for name, span in spans.items()} == {"a": "node double", "b": "node double", "c": "node gated"}
    assert [(spans[name].attributes or {})["jetfleet.outcome"] for name in "abc"] == ["completed", "failed", "completed"]


def test_what_a_worker_did_is_counted_by_queue_and_outcome(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with owner(fresh_url) as fleet, worker(fresh_url, tmp_path) as one:
            await fleet.give([task("double", "a", {"n": 1}), task("double", "b", "no map")])
            await fleet.ends("a", "b")
            counted = one.counters.queues["default"]
            assert (counted.completed, counted.failed, counted.called_off) == (1, 1, 0)
            assert (one.counters.slots(), one.counters.tasks_in_flight()) == (64, 0)

    run(test())
