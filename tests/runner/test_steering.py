"""Steering a run from outside: signals, approvals, events, cancel, pause, and closing the runner."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetfleet.schemas.errors import UsageError
from jetfleet.workers import Context, LocalRunner, Registry, node, run

from .scripts import Gate, flow, statuses, turns, until, until_waiting

APPROVAL = flow(
    {
        "ask": {"type": "std::wait", "config": {"hook_id": "order-${trigger.payload.id}", "metadata_fields": ["id", "customer.name"]}},
        "yes": "std::log",
        "no": "std::log",
    },
    "ask -> yes",
    "ask.rejected -> no",
)


def waiting(**config: Any) -> dict[str, Any]:
    return flow({"w": {"type": "std::wait", "config": config}})


@pytest.mark.parametrize(("decision", "ends"), [("approve", ["yes"]), ("approved", ["yes"]), ("reject", ["no"]), ("rejected", ["no"])])
async def test_an_approval_leads_on_by_the_decision(decision: str, ends: list[str]) -> None:
    async with LocalRunner() as runner:
        run = runner.start(APPROVAL, {"id": 7, "customer": {"name": "Ada"}})
        await until_waiting(run, "order-7")
        run.signal("order-7", {"decision": decision, "response": {"by": "Grace"}, "reason": "checked"})
        result = await run.result()
    output = result.output[ends[0]]
    assert list(result.output) == ends
    assert (output["response"], output["reason"], output["input"]["id"]) == ({"by": "Grace"}, "checked", 7)


async def test_an_open_approval_says_what_it_waits_for() -> None:
    async with LocalRunner() as runner:
        run = runner.start(APPROVAL, {"id": 7})
        await until_waiting(run, "order-7")
        assert [str(reason) for reason in run.blocked_on()] == ["ask: approval order-7"]
        run.signal("order-7", {"decision": "perhaps"})
        await turns()
        assert [str(reason) for reason in run.blocked_on()] == ["ask: approval order-7"], "that was no decision"


async def test_an_early_signal_is_kept_and_applied_once() -> None:
    two = flow({"a": {"type": "std::wait", "config": {"signal": "go"}}, "b": {"type": "std::wait", "config": {"signal": "go"}}}, "a -> b")
    async with LocalRunner() as runner:
        run = runner.start(two)
        run.signal("go", 1, id="s1")
        run.signal("go", 1, id="s1")
        await until(lambda: bool(run.nodes()) and run.nodes()["a"].status == "completed")
        await turns()
        assert run.nodes()["b"].status == "waiting"
        run.signal("go", 2, id="s2")
        assert (await run.result()).output["response"] == 2


async def test_two_signals_are_awaited_at_once_and_come_in_any_order() -> None:
    both = flow(
        {
            "a": {"type": "std::wait", "config": {"signal": "left"}},
            "b": {"type": "std::wait", "config": {"signal": "right"}},
            "join": "std::merge",
        },
        "a -> join",
        "b -> join",
    )
    for order in (("left", "right"), ("right", "left")):
        async with LocalRunner() as runner:
            run = runner.start(both)
            for name in order:
                run.signal(name, name)
            output = (await run.result()).output
        assert (output["a"]["response"], output["b"]["response"]) == ("left", "right")


async def test_an_event_that_does_not_correlate_is_not_taken() -> None:
    async with LocalRunner() as runner:
        run = runner.start(waiting(event="payment", correlate={"order.id": "${trigger.payload.id}"}), {"id": 7})
        run.event("payment", {"order": {"id": 8}})
        run.event("refund", {"order": {"id": 7}})
        await turns()
        assert not run.ended.done()
        run.event("payment", {"order": {"id": 7}, "amount": 5})
        assert (await run.result()).output["response"]["amount"] == 5


async def test_cancelling_ends_the_work_and_keeps_the_reason(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "x.gate", "b": "std::log"}, "a -> b"), 1)
        await gate.holds(1)
        run.cancel("the customer called")
        result = await run.result()
        await until(lambda: not gate.inside)
    assert (result.status, result.error.type, result.error.message) == ("cancelled", "cancelled", "the customer called")
    assert statuses(result) == {"a": "cancelled", "b": "skipped"}
    assert gate.cancelled == [1]


def undoing() -> dict[str, Any]:
    return flow({"book": {"type": "std::log", "compensate": "unbook"}, "unbook": "x.unbook", "pay": "x.gate"}, "book -> pay")


@pytest.mark.parametrize(("kill", "status", "undone"), [(False, "cancelled", ["trip"]), (True, "killed", [])])
async def test_cancelling_undoes_what_was_done_and_killing_does_not(registry: Registry, kill: bool, status: str, undone: list[str]) -> None:
    gate, found = Gate(registry), []

    @node("x.unbook", registry=registry)
    async def unbook(value: str) -> None:
        found.append(value)

    async with LocalRunner(registry=registry) as runner:
        run = runner.start(undoing(), "trip")
        await gate.holds(1)
        run.cancel(kill=kill)
        assert (await run.result()).status == status
    assert found == undone


async def test_a_thread_is_told_that_it_is_no_longer_wanted(registry: Registry) -> None:
    import threading

    begun, told = threading.Event(), threading.Event()

    @node("x.long", registry=registry)
    def long(value: Any, context: Context) -> None:
        begun.set()
        while not context.cancelled:
            pass
        told.set()

    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "x.long"}))
        await until(begun.is_set)
        run.cancel()
        assert (await run.result()).status == "cancelled"
        await until(told.is_set)


async def test_a_paused_run_starts_nothing_new_and_goes_on_when_resumed(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "x.gate", "b": "std::log"}, "a -> b"), 1)
        await gate.holds(1)
        run.pause("maintenance")
        gate.open()
        await until(lambda: run.nodes()["a"].status == "completed")
        await turns()
        assert run.nodes()["b"].status == "ready"
        assert [reason.reason for reason in run.blocked_on()] == ["paused"]
        run.resume()
        assert (await run.result()).completed


async def test_what_is_sent_after_the_end_changes_nothing() -> None:
    async with LocalRunner() as runner:
        run = runner.start(flow({"a": "std::log"}), 1)
        result = await run.result()
        run.signal("go")
        run.cancel()
        await turns()
        assert (await run.result()) is result
        assert (run.nodes()["a"].status, run.blocked_on()) == ("completed", [])


async def test_a_run_that_has_not_begun_says_so_and_shows_nothing() -> None:
    async with LocalRunner() as runner:
        run = runner.start(flow({"a": "std::log"}))
        assert (run.nodes(), run.blocked_on()) == ({}, [])
        with pytest.raises(UsageError, match="has not begun"):
            run.state  # noqa: B018


async def test_closing_the_runner_ends_what_is_open_and_leaves_nothing_alive(registry: Registry) -> None:
    gate = Gate(registry)
    before = asyncio.all_tasks()
    async with LocalRunner(registry=registry, flows={"child": flow({"a": "x.gate"}, name="child")}) as runner:
        working = runner.start(flow({"a": "x.gate"}), 1)
        waits = runner.start(waiting(signal="never"))
        queued = [runner.start(flow({"a": "x.gate"}, name="one", settings={"max_concurrent_executions": 1}), n) for n in (2, 3)]
        parent = runner.start(flow({"c": {"type": "std::subflow", "config": {"flow": "child", "detached": True}}, "g": "x.gate"}), 4)
        unstarted = runner.start(flow({"a": "std::log"}))
        await gate.holds(4)
        late = runner.start(flow({"a": "x.gate"}), 5)
    runs = [working, waits, *queued, parent, late]
    assert [run.ended.result().status for run in runs] == ["killed"] * 6
    assert unstarted.ended.result().completed
    assert sorted(gate.cancelled) == [1, 2, 4, 4]
    assert asyncio.all_tasks() == before


async def test_a_closed_runner_starts_nothing() -> None:
    async with LocalRunner() as runner:
        pass
    with pytest.raises(UsageError, match="closed"):
        runner.start(flow({"a": "std::log"}))


async def test_closing_waits_for_a_node_that_cleans_up(registry: Registry) -> None:
    cleaned = []

    @node("x.tidy", registry=registry)
    async def tidy(value: Any, context: Context) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(10)
            cleaned.append(value)

    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "x.tidy"}), 1)
        await until(lambda: bool(run.nodes()))
        await turns()
    assert cleaned == [1]


async def test_a_run_that_nobody_can_move_ends_with_its_reason_when_nobody_attends() -> None:
    result = await run(waiting(signal="go"))
    assert result.status == "cancelled"
    assert result.error.message == "nobody can move it: w waits for the signal go"


async def test_a_sub_flow_that_nobody_can_move_ends_its_parent_with_the_childs_reason() -> None:
    parent = flow({"c": {"type": "std::subflow", "config": {"flow": "child"}}}, name="parent")
    child = flow({"w": {"type": "std::wait", "config": {"hook_id": "boss"}}}, name="child")
    result = await run(parent, flows={"child": child})
    assert result.error.message == "nobody can move it: w waits for the approval boss"


async def test_a_run_whose_compensation_cannot_be_moved_is_killed_when_nobody_attends(registry: Registry) -> None:
    stuck = flow(
        {
            "book": {"type": "std::log", "compensate": "unbook"},
            "unbook": {"type": "std::wait", "config": {"signal": "unbooked"}},
            "fail": {"type": "std::raise", "config": {"type": "boom", "message": "boom"}},
        },
        "book -> fail",
    )
    assert (await run(stuck)).status == "killed"


async def test_an_unattended_run_is_not_given_up_while_another_one_may_send_what_it_waits_for(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, unattended=True) as runner:
        waits = runner.start(waiting(event="done"))
        sends = runner.start(flow({"a": "x.gate", "b": {"type": "std::emit", "config": {"subject": "done"}}}, "a -> b"), 7)
        await gate.holds(1)
        assert not waits.ended.done()
        gate.open()
        assert (await sends.result()).completed
        assert (await waits.result()).output["response"] == 7
