"""Flows that run other flows, and flows that meet by events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from jetfleet.schemas.effects import Emit
from jetfleet.workers import LocalRunner, NodeError, Registry, node, run

from .scripts import Gate, flow, statuses, turns, until, until_waiting


def call(child: str = "child", **config: Any) -> dict[str, Any]:
    return {"type": "std::subflow", "config": {"flow": child, **config}}


def child(type: str = "std::log", **blocks: Any) -> dict[str, Any]:
    return flow({"work": type}, name="child", **blocks)


PARENT = flow({"call": call(), "after": "std::log"}, "call -> after", name="parent")


async def test_a_child_gets_the_value_and_its_output_goes_on() -> None:
    result = await run(PARENT, {"n": 7}, flows={"child": child(outputs={"twice": ["${work.n}", "${work.n}"]})})
    assert result.output == {"twice": [7, 7]}


async def test_a_child_may_be_given_an_input_of_its_own() -> None:
    parent = flow({"call": call(input={"id": "${trigger.payload.order.id}"})})
    assert (await run(parent, {"order": {"id": 9}}, flows={"child": child()})).output == {"id": 9}


async def test_a_child_is_found_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "child.yaml"
    file.write_text("name: child\nnodes: {work: {type: std::log}}\n")
    async with LocalRunner(flows={"child": file}) as runner:
        assert (await runner.run(PARENT, 1)).output == 1
        file.unlink()
        assert (await runner.run(PARENT, 2)).output == 2, "it was read once"


async def test_a_child_has_an_id_made_of_its_parents(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, flows={"child": child("x.gate")}) as runner:
        run = runner.start(PARENT, 1, run_id="p1")
        await gate.holds(1)
        assert list(run.children) == ["p1.call"]
        assert [str(reason) for reason in run.blocked_on()] == ["call: child p1.call"]
        gate.open()
        assert (await run.result()).completed


async def test_three_children_run_at_the_same_time(registry: Registry) -> None:
    all_three = asyncio.Barrier(3)

    @node("x.meet", registry=registry)
    async def meet(value: Any) -> Any:
        await all_three.wait()
        return value

    parent = flow({"a": call(), "b": call(), "c": call(), "join": "std::merge"}, "a -> join", "b -> join", "c -> join")
    assert (await run(parent, 5, registry=registry, flows={"child": child("x.meet")})).output == {"a": 5, "b": 5, "c": 5}


async def test_the_children_of_a_splits_items_bring_their_results_in_order() -> None:
    parent = flow(
        {"each": {"type": "std::split", "config": {"field": "$", "mode": "parallel"}}, "call": call(), "all": "std::log"},
        "each.item -> call",
        "each.done -> all",
    )
    assert (await run(parent, [1, 2, 3], flows={"child": child()})).output == [1, 2, 3]


async def test_the_error_of_a_child_is_carried_with_its_type(registry: Registry) -> None:
    @node("x.decline", registry=registry)
    async def decline(value: Any) -> None:
        raise NodeError("no cover", type="card_declined", details={"code": 51})

    result = await run(PARENT, registry=registry, flows={"child": child("x.decline")})
    assert (result.status, result.error.type, result.error.node, result.error.details) == ("failed", "card_declined", "call", {"code": 51})


async def test_a_failing_child_is_tried_again_by_its_parents_policy(registry: Registry) -> None:
    runs = []

    @node("x.twice_bad", registry=registry)
    async def twice_bad(value: Any) -> int:
        runs.append(value)
        if len(runs) < 3:
            raise NodeError("not yet")
        return len(runs)

    parent = flow({"call": {**call(), "retry": {"max_attempts": 3, "initial_delay_ms": 0}}}, name="parent")
    result = await run(parent, registry=registry, flows={"child": child("x.twice_bad")})
    assert (result.output, result.nodes()["call"].attempts) == (3, 3)


@pytest.mark.parametrize(
    ("flows", "type", "message"),
    [
        ({}, "unknown_flow", "no flow is called 'child'; known here: none"),
        ({"child": child(version="2.0")}, "unknown_flow", "version 2.0, not 1.0"),
        ({"child": flow({"a": "std::nope"}, name="child")}, "invalid_flow", "no standard node type"),
        ({"child": Path("nowhere.yaml")}, "usage", "nowhere.yaml cannot be read"),
        ({"child": child(inputs={"type": "object"})}, "event_rejected", "does not fit the inputs"),
    ],
)
async def test_a_child_that_cannot_be_started_fails_its_node_for_good(flows: dict[str, Any], type: str, message: str) -> None:
    parent = flow({"call": {**call(version="1.0"), "retry": {"max_attempts": 3}}}, name="parent")
    result = await run(parent, 7, flows=flows)
    assert (result.status, result.error.type, result.error.attempts) == ("failed", type, 1)
    assert message in result.error.message


async def test_a_child_with_several_triggers_cannot_tell_which_one_fired() -> None:
    triggers = {"a": {"type": "manual"}, "b": {"type": "manual"}}
    two = flow({"work": "std::log"}, "a -> work", "b -> work", name="child", triggers=triggers)
    assert (await run(PARENT, flows={"child": two})).error.type == "usage"


async def test_a_flow_that_starts_itself_without_end_fails_at_a_depth() -> None:
    result = await run(flow({"again": call("f")}))
    assert (result.status, result.error.type) == ("failed", "too_deep")


async def test_a_flow_may_call_itself_until_it_is_done() -> None:
    countdown = flow(
        {"more": {"type": "std::switch", "config": {"expression": "n > 0"}}, "less": "x.less", "again": call("countdown")},
        "more.true -> less",
        "less -> again",
        name="countdown",
    )
    registry, seen = Registry(), []

    @node("x.less", registry=registry)
    async def less(value: dict[str, int]) -> dict[str, int]:
        seen.append(value["n"])
        return {"n": value["n"] - 1}

    assert (await run(countdown, {"n": 5}, registry=registry)).completed
    assert seen == [5, 4, 3, 2, 1]


async def test_cancelling_the_parent_cancels_the_child_and_undoes_its_work(registry: Registry) -> None:
    gate, undone = Gate(registry), []

    @node("x.undo", registry=registry)
    async def undo(value: Any) -> None:
        undone.append(value)

    deep = flow({"do": {"type": "std::log", "compensate": "undo"}, "undo": "x.undo", "g": "x.gate"}, "do -> g", name="child")
    async with LocalRunner(registry=registry, flows={"child": deep}) as runner:
        run = runner.start(PARENT, 7)
        await gate.holds(1)
        inner = run.children[f"{run.id}.call"]
        run.cancel()
        assert (await run.result()).status == "cancelled"
        assert (await inner.result()).status == "cancelled"
    assert undone == [7]


async def test_a_child_that_is_cancelled_by_itself_fails_its_node(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, flows={"child": child("x.gate")}) as runner:
        run = runner.start(PARENT)
        await gate.holds(1)
        run.children[f"{run.id}.call"].cancel("by mistake")
        result = await run.result()
    assert (result.status, result.error.type, result.error.message) == ("failed", "cancelled", "by mistake")


async def test_nobody_waits_for_a_detached_child_but_the_one_call_that_has_nobody_else(registry: Registry) -> None:
    gate = Gate(registry)
    parent = flow({"call": call(detached=True)}, name="parent")
    async with LocalRunner(registry=registry, flows={"child": child("x.gate")}) as runner:
        result = await runner.run(parent, 1, run_id="p1")
        assert result.output == {"run_id": "p1.call"}
        await gate.holds(1)
        gate.open()
        await runner.drain()
    done: list[Any] = []

    @node("x.note", registry=registry)
    async def note(value: Any) -> None:
        await turns(50)
        done.append(value)

    assert (await run(parent, 2, registry=registry, flows={"child": child("x.note")})).completed
    assert done == [2]


async def test_a_detached_child_that_cannot_be_started_is_no_failure_of_its_parent() -> None:
    assert (await run(flow({"call": call(detached=True)}))).completed


# --- flows that meet by events


async def test_an_emitted_event_reaches_the_runs_that_wait_for_it_and_the_program_around() -> None:
    heard: list[Emit] = []
    listener = flow(
        {"w": {"type": "std::wait", "config": {"event": "orders.paid", "correlate": {"order": "${trigger.payload.order}"}}}},
        name="listener",
    )
    teller = flow({"e": {"type": "std::emit", "config": {"subject": "orders.paid", "payload": {"order": "${trigger.payload}", "n": 3}}}})
    async with LocalRunner(on_emit=heard.append) as runner:
        seven, eight = runner.start(listener, {"order": 7}), runner.start(listener, {"order": 8})
        await until_waiting(seven, "orders.paid")
        await until_waiting(eight, "orders.paid")
        assert (await runner.run(teller, 7, run_id="t1")).output == 7, "the node's value passes through"
        assert (await seven.result()).output["response"] == {"order": 7, "n": 3}
        assert not eight.ended.done()
        await until(lambda: bool(heard))
    assert [(event.subject, event.id) for event in heard] == [("orders.paid", "t1/e")]
    assert list(runner.emitted) == heard


async def test_a_run_may_wait_for_an_event_that_another_branch_of_it_emits(registry: Registry) -> None:
    gate = Gate(registry)
    both = flow(
        {
            "w": {"type": "std::wait", "config": {"event": "ready"}},
            "g": "x.gate",
            "e": {"type": "std::emit", "config": {"subject": "ready"}},
        },
        "g -> e",
    )
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(both, 1)
        await until_waiting(run, "ready")
        gate.open()
        assert statuses(await run.result()) == {"w": "completed", "g": "completed", "e": "completed"}


async def test_what_the_listening_program_raises_is_not_the_runs_affair() -> None:
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context["exception"]))

    def grumble(event: Emit) -> None:
        raise ZeroDivisionError(event.subject)

    async with LocalRunner(on_emit=grumble) as runner:
        assert (await runner.run(flow({"e": {"type": "std::emit", "config": {"subject": "s"}}}))).completed
        await until(lambda: bool(complaints))
    assert [str(complaint) for complaint in complaints] == ["s"]
