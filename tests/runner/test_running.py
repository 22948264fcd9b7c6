"""Running flows in this process: what goes in, what comes out, and in which forms a flow may be given."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.engine import digest, fold
from jetfleet.schemas.errors import EventRejected, InvalidFlow, UnencodableValue, UsageError
from jetfleet.schemas.flow.definition import Flow
from jetfleet.workers import Context, LocalRunner, NodeError, Out, Registry, VirtualClock, node, run

from .scripts import Gate, flow, statuses, turns

YAML = """
name: double
nodes:
  twice: {type: x.twice}
  more: {type: std::set, config: {values: {n: "${twice}"}}}
edges: [{from: twice, to: more}]
"""


@pytest.fixture
def doubling(registry: Registry) -> Registry:
    @node("x.twice", registry=registry)
    async def twice(number: int) -> int:
        return 2 * number

    return registry


async def test_a_chain_hands_values_on(doubling: Registry) -> None:
    chain = flow({"a": "x.twice", "b": "x.twice", "c": "x.twice"}, "a -> b", "b -> c")
    result = await run(chain, 1, registry=doubling)
    assert (result.status, result.output, result.error) == ("completed", 8, None)
    assert statuses(result) == {"a": "completed", "b": "completed", "c": "completed"}


async def test_a_flow_may_be_text_data_a_definition_a_plan_or_a_file(doubling: Registry, tmp_path: Path) -> None:
    file = tmp_path / "double.yaml"
    file.write_text(YAML)
    data = flow({"twice": "x.twice", "more": {"type": "std::set", "config": {"values": {"n": "${twice}"}}}}, "twice -> more", name="double")
    async with LocalRunner(registry=doubling) as runner:
        for source in (YAML, data, Flow.model_validate(data), runner.plan(data), file, str(file)):
            assert (await runner.run(source, 21)).output == {"n": 42}


async def test_a_flow_that_is_not_valid_is_refused_with_all_its_problems(doubling: Registry) -> None:
    bad = flow({"a": "x.twice", "b": {"type": "std::switch"}}, "a.left -> b", "a -> c")
    with pytest.raises(InvalidFlow) as refused:
        await run(bad, registry=doubling)
    assert {problem.code for problem in refused.value.problems} == {"MISSING_FIELD", "UNKNOWN_PORT", "INVALID_REFERENCE"}


async def test_an_own_type_that_is_not_registered_is_refused_before_anything_runs(registry: Registry) -> None:
    with pytest.raises(InvalidFlow, match=r"no node type `x\.twice` is registered"):
        await run(flow({"a": "x.twice"}), registry=registry)


async def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        await run(tmp_path / "nothing.yaml")


async def test_data_that_json_does_not_have_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="only what JSON has"):
        await run(flow({"a": {"type": "std::set", "config": {"values": {1, 2}}}}))


@pytest.mark.part("process pool")
async def test_each_mode_runs_where_it_says(registry: Registry) -> None:
    @node("x.async", registry=registry)
    async def in_loop(places: list[Any]) -> list[Any]:
        return [*places, threading.get_ident()]

    @node("x.thread", registry=registry)
    def in_thread(places: list[Any]) -> list[Any]:
        return [*places, threading.get_ident()]

    @node("x.inline", mode="inline", registry=registry)
    def inline(places: list[Any]) -> list[Any]:
        return [*places, threading.get_ident()]

    registry.load(str(Path(__file__).parent / "process_nodes.py"))
    chain = flow({"a": "x.async", "b": "x.thread", "c": "x.inline", "d": "proc.where"}, "a -> b", "b -> c", "c -> d")
    here = threading.get_ident()
    in_loop_at, in_thread_at, inline_at, process = (await run(chain, [], registry=registry)).output
    assert in_loop_at == inline_at == here
    assert in_thread_at != here
    assert process != os.getpid()


async def test_a_node_leaves_by_the_port_that_it_chooses(registry: Registry) -> None:
    @node("x.sort", ports=("small", "large"), registry=registry)
    async def sort(number: int) -> Out:
        return Out("large" if number > 10 else "small", number)

    sorting = flow({"sort": "x.sort", "s": "std::log", "l": "std::log"}, "sort.small -> s", "sort.large -> l")
    assert statuses(await run(sorting, 11, registry=registry)) == {"sort": "completed", "s": "skipped", "l": "completed"}


async def test_an_error_with_an_error_edge_does_not_fail_the_run(registry: Registry) -> None:
    @node("x.fail", registry=registry)
    async def fail(value: Any) -> None:
        raise NodeError("no paper", type="printer", details={"tray": 2})

    handled = flow({"a": "x.fail", "b": "std::log"}, "a.error -> b")
    result = await run(handled, registry=registry)
    assert result.completed
    assert statuses(result) == {"a": "failed", "b": "completed"}
    assert result.output["b"] == {
        "type": "printer", "message": "no paper", "retryable": True, "node": "a", "attempts": 1, "details": {"tray": 2},
    }  # fmt: skip


async def test_an_error_without_one_fails_the_run_with_that_error(registry: Registry) -> None:
    @node("x.fail", registry=registry)
    async def fail(value: Any) -> None:
        raise NodeError("no paper", type="printer")

    result = await run(flow({"a": "x.fail", "b": "std::log"}, "a -> b"), registry=registry)
    assert (result.status, result.error.type, result.error.node, result.error.message) == ("failed", "printer", "a", "no paper")


async def test_five_runs_at_once_all_succeed_and_do_not_mix(registry: Registry) -> None:
    @node("x.tag", registry=registry)
    async def tag(value: dict[str, Any], context: Context) -> dict[str, Any]:
        await turns(3)
        return {**value, "seen": [*value.get("seen", []), context.run_id]}

    chain = flow({"a": "x.tag", "b": "x.tag", "c": "x.tag"}, "a -> b", "b -> c")
    async with LocalRunner(registry=registry) as runner:
        runs = [runner.start(chain, {"n": number}, run_id=f"run-{number}") for number in range(5)]
        outputs = [(await one.result()).output for one in runs]
    assert outputs == [{"n": number, "seen": [f"run-{number}"] * 3} for number in range(5)]


async def test_the_same_run_id_twice_is_one_run_also_after_its_end(registry: Registry) -> None:
    calls = []

    @node("x.charge", registry=registry)
    async def charge(amount: int) -> int:
        calls.append(amount)
        return amount

    paying = flow({"charge": "x.charge"})
    async with LocalRunner(registry=registry) as runner:
        first, second = runner.start(paying, 5, run_id="order-7"), runner.start(paying, 6, run_id="order-7")
        assert first is second
        assert (await second.result()).output == 5
        assert (await runner.run(paying, 7, run_id="order-7")).output == 5
        assert (await runner.run(paying, 8, run_id="order-8")).output == 8
    assert calls == [5, 8]


async def test_an_event_that_the_inputs_refuse_starts_nothing(registry: Registry) -> None:
    checked = flow({"a": "std::log"}, inputs={"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}})
    async with LocalRunner(registry=registry) as runner:
        assert (await runner.run(checked, {"id": 7})).completed
        with pytest.raises(EventRejected, match=r"id: .* is not of type"):
            runner.start(checked, {"id": "seven"})
        with pytest.raises(EventRejected, match="required property"):
            runner.start(checked, {})
        with pytest.raises(EventRejected):
            runner.start(checked)


async def test_an_event_that_has_no_bytes_is_refused() -> None:
    with pytest.raises(UnencodableValue):
        await run(flow({"a": "std::log"}), {"n": 2**70})


async def test_the_trigger_that_fired_and_what_it_knows_can_be_read() -> None:
    values = {"by": "${trigger.id}", "kind": "${trigger.type}", "got": "${trigger.payload.n}", "meta": "${trigger.meta.path}"}
    noted = flow(
        {"a": {"type": "std::set", "config": {"values": values}}},
        "api -> a",
        triggers={"api": {"type": "webhook"}, "night": {"type": "cron", "params": {"schedule": "0 3 * * *"}}},
    )
    async with LocalRunner() as runner:
        result = await runner.run(noted, {"n": 1}, trigger="api", meta={"path": "/orders"})
        assert result.output == {"by": "api", "kind": "webhook", "got": 1, "meta": "/orders"}
        with pytest.raises(UsageError, match="several triggers: api, night"):
            runner.start(noted)
        with pytest.raises(UsageError, match="no trigger 'noon'; it has: api, night"):
            runner.start(noted, trigger="noon")


async def test_a_disabled_trigger_cannot_be_fired() -> None:
    sleepy = flow({"a": "std::log"}, "t -> a", triggers={"t": {"type": "manual", "enabled": False}})
    with pytest.raises(UsageError, match="disabled"):
        await run(sleepy, trigger="t")


async def test_the_journal_holds_every_record_and_gives_the_same_run_again(doubling: Registry) -> None:
    async with LocalRunner(registry=doubling) as runner:
        plan = runner.plan(YAML)
        result = await runner.run(plan, 2)
    assert len(result.journal) == result.records
    assert digest(fold(plan, result.journal, keep=True)) == digest(result.state)


async def test_without_keeping_no_journal_is_held(doubling: Registry) -> None:
    async with LocalRunner(registry=doubling, keep=False) as runner:
        result = await runner.run(YAML, 2)
    assert (list(result.journal), result.records, result.output) == ([], 3, {"n": 4})


async def test_a_result_can_be_awaited_by_many_and_giving_up_takes_it_from_nobody(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "x.gate"}), 1)
        first, second = (asyncio.create_task(run.result()) for _ in range(2))
        await gate.holds(1)
        first.cancel()
        gate.open()
        assert (await second).output == 1
        assert first.cancelled()
        assert (await run.result()).output == 1


async def test_started_at_and_ended_at_are_times_of_the_clock(registry: Registry) -> None:
    delayed = flow({"a": {"type": "std::delay", "config": {"duration_ms": 90_000}}})
    result = await run(delayed, clock=VirtualClock(1_000_000))
    assert (result.started_at, result.ended_at) == (1_000_000, 1_090_000)
