"""Where workflow engines are known to go wrong: steps run twice, code skipped, errors swallowed, branches waiting for strangers."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.schemas.errors import InvalidFlow
from jetfleet.workers import Context, LocalRunner, NodeError, Permanent, Registry, VirtualClock, node, run

from .scripts import Gate, flow, statuses, turns, until, until_waiting

DELAY = {"type": "std::delay", "config": {"duration_ms": 5_000}}


async def test_what_stands_behind_a_timer_runs_once(registry: Registry) -> None:
    calls: list[Any] = []

    @node("x.note", registry=registry)
    async def note(value: Any) -> Any:
        calls.append(value)
        return value

    steps = flow({"before": "x.note", "timer": DELAY, "after": "x.note"}, "before -> timer", "timer -> after")
    assert (await run(steps, "v", registry=registry, clock=VirtualClock(0))).output == "v"
    assert calls == ["v", "v"]


async def test_an_error_that_was_handled_does_not_keep_a_later_node_from_being_tried_again(registry: Registry) -> None:
    @node("x.fail", registry=registry)
    async def fail(value: Any) -> None:
        raise Permanent("for good")

    @node("x.second_time", registry=registry)
    async def second_time(value: Any, context: Context) -> str:
        if context.attempt < 2:
            raise NodeError("not yet")
        return "done"

    steps = flow({"a": "x.fail", "b": {"type": "x.second_time", "retry": {"initial_delay_ms": 0}}}, "a.error -> b")
    result = await run(steps, registry=registry)
    assert (result.status, result.nodes()["b"].attempts) == ("completed", 2)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (flow({"a": "std::log"}, "a -> b"), "INVALID_REFERENCE"),
        (flow({"a": "std::log"}, triggers={"a": {"type": "manual"}}), "DUPLICATE_ID"),
        (flow({"a": "std::teleport"}), "INVALID_NODE_TYPE"),
        (flow({"a": "std::log", "b": "std::log"}, "a -> b", "b -> a"), "CYCLE"),
        (flow({"a": "std::log"}, "a -> a"), "CYCLE"),
        (flow({"a": {"type": "std::log", "retry": {"max_attempts": 0}}}), "INVALID_VALUE"),
        (flow({"a": {"type": "std::log", "timeout_ms": "soon"}}), "INVALID_TYPE"),
        (flow({"a": "std::log"}, history={"keep": "a while"}), "INVALID_VALUE"),
    ],
)
async def test_what_cannot_work_is_refused_before_it_starts(bad: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidFlow) as refused:
        await run(bad)
    assert code in {problem.code for problem in refused.value.problems}


async def test_a_partial_retry_policy_is_filled_up_with_defaults(registry: Registry) -> None:
    moments: list[int] = []

    @node("x.fail", registry=registry)
    async def fail(value: Any, context: Context) -> None:
        moments.append(context.clock.now_ms())
        raise NodeError("no")

    policy = {"max_attempts": 4, "jitter": False, "backoff_multiplier": 1.5}
    await run(flow({"a": {"type": "x.fail", "retry": policy}}), registry=registry, clock=VirtualClock(0))
    assert moments == [0, 1_000, 2_500, 4_750]


async def test_a_timed_out_node_is_cancelled_and_nothing_is_listed_as_running(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": {"type": "x.gate", "timeout_ms": 10}, "b": "std::log"}, "a -> b"), 1)
        result = await run.result()
    assert (statuses(result), gate.cancelled, run.blocked_on()) == ({"a": "failed", "b": "skipped"}, [1], [])


@pytest.mark.parametrize("value", [0, "", False, None, [], {}])
async def test_an_empty_value_goes_on_like_any_other(value: Any) -> None:
    steps = flow(
        {
            "a": "std::log",
            "b": {"type": "std::set", "config": {"values": "${a}"}},
            "c": {"type": "std::merge", "config": {"strategy": "any"}},
        },
        "a -> b",
        "b -> c",
    )
    result = await run(steps, value)
    assert (result.completed, result.output) == (True, value)


async def test_a_failed_saga_undoes_what_was_done_backwards_and_tells_both_errors(registry: Registry) -> None:
    undone: list[str] = []

    @node("x.book", registry=registry)
    async def book(value: Any, context: Context) -> str:
        return f"booked by {context.node}"

    @node("x.undo", registry=registry)
    async def undo(value: str, context: Context) -> None:
        undone.append(value)
        if context.node == "undo_flight":
            raise Permanent("the airline is closed")

    @node("x.pay", registry=registry)
    async def pay(value: Any) -> None:
        raise NodeError("no cover", type="declined")

    trip = flow(
        {
            "flight": {"type": "x.book", "compensate": "undo_flight"}, "undo_flight": "x.undo",
            "hotel": {"type": "x.book", "compensate": "undo_hotel"}, "undo_hotel": "x.undo",
            "pay": {"type": "x.pay", "compensate": "undo_pay", "retry": {"max_attempts": 3, "initial_delay_ms": 0}}, "undo_pay": "x.undo",
            "car": {"type": "x.book", "compensate": "undo_car"}, "undo_car": "x.undo",
        },
        "flight -> hotel", "hotel -> pay", "pay -> car",
    )  # fmt: skip
    result = await run(trip, registry=registry)
    assert undone == ["booked by hotel", "booked by flight"]
    assert (result.status, result.error.type, result.error.attempts) == ("failed", "declined", 3)
    assert "the airline is closed" in str(result.error.details)


async def test_of_parallel_branches_the_first_to_end_wins_and_the_others_are_cancelled(registry: Registry) -> None:
    gate = Gate(registry)
    race = flow(
        {"a": "x.gate", "b": "std::log", "c": "x.gate", "end": "std::log"},
        "race -> end",
        scopes={"race": {"type": "parallel", "nodes": ["a", "b", "c"], "completion": "any"}},
    )
    result = await run(race, 1, registry=registry)
    assert result.completed
    assert [statuses(result)[id] for id in "abc"] == ["cancelled", "completed", "cancelled"]
    assert (result.output, gate.inside) == ({"b": 1}, [])


async def test_two_of_three_branches_are_enough(registry: Registry) -> None:
    Gate(registry)
    quorum = flow(
        {"a": "std::log", "b": "x.gate", "c": "std::log", "end": "std::log"},
        "quorum -> end",
        scopes={"quorum": {"type": "parallel", "nodes": ["a", "b", "c"], "completion": {"at_least": 2}}},
    )
    result = await run(quorum, 1, registry=registry)
    assert (result.output, statuses(result)["b"]) == ({"a": 1, "c": 1}, "cancelled")


async def test_an_event_that_never_comes_is_an_error_at_its_time() -> None:
    waiting = flow(
        {"w": {"type": "std::wait", "config": {"event": "paid", "correlate": {"id": 7}, "timeout_ms": 60_000, "timeout_action": "fail"}}}
    )
    async with LocalRunner(clock=VirtualClock(0)) as runner:
        run = runner.start(waiting)
        run.event("paid", {"id": 8})
        result = await run.result()
    assert (result.status, result.error.type, result.ended_at) == ("failed", "timeout", 60_000)


async def test_literals_and_other_nodes_outputs_reach_a_node_and_declared_outputs_are_filled(registry: Registry) -> None:
    @node("x.fetch", registry=registry)
    async def fetch(value: Any, config: dict[str, Any]) -> dict[str, Any]:
        return {"result": [config["source"], config["count"]]}

    @node("x.process", registry=registry)
    async def process(value: Any, config: dict[str, Any]) -> dict[str, Any]:
        return {"result": {"data": config["data"], "priority": config["priority"]}}

    @node("x.save", registry=registry)
    async def save(value: Any, config: dict[str, Any]) -> dict[str, Any]:
        return {"saved": config["processed"]}

    steps = flow(
        {
            "fetch_data": {"type": "x.fetch", "config": {"source": "${trigger.payload.source}", "count": 3}},
            "process_data": {"type": "x.process", "config": {"data": "${fetch_data.result}", "priority": "high"}},
            "save_result": {"type": "x.save", "config": {"processed": "${process_data.result}"}},
        },
        "fetch_data -> process_data", "process_data -> save_result",
        outputs={"saved": "${save_result.saved.data}", "priority": "${process_data.result.priority}"},
    )  # fmt: skip
    result = await run(steps, {"source": "s3"}, registry=registry)
    assert result.output == {"saved": ["s3", 3], "priority": "high"}


async def test_a_run_with_one_node_done_and_one_to_do_is_running(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": "std::log", "b": "x.gate"}, "a -> b"), 1)
        await gate.holds(1)
        assert (run.state.status, [view.status for view in run.nodes().values()]) == ("running", ["completed", "running"])
        gate.open()
        assert (await run.result()).completed


async def test_a_paused_run_with_a_timer_that_is_over_goes_on_when_it_is_resumed(registry: Registry) -> None:
    clock = VirtualClock(0)
    async with LocalRunner(clock=clock) as runner:
        run = runner.start(flow({"timer": DELAY, "w": {"type": "std::wait", "config": {"signal": "go"}}}, "timer -> w"))
        run.pause()
        await clock.sleep(60)
        run.signal("go")
        await turns()
        assert run.nodes()["timer"].status == "waiting"
        run.resume()
        assert (await run.result()).completed


async def test_a_signal_between_two_waits_of_one_name_serves_the_second(registry: Registry) -> None:
    gate = Gate(registry)
    wait = {"type": "std::wait", "config": {"signal": "go"}}
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"a": wait, "g": "x.gate", "b": wait}, "a -> g", "g -> b"))
        await until_waiting(run, "go")
        run.signal("go", 1)
        await gate.holds(1)
        run.signal("go", 2)
        gate.open()
        await until(run.ended.done)
        assert (await run.result()).output["response"] == 2
