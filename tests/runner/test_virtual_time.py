"""Virtual time: what waits through the clock waits no time at all, and everything happens at exactly the documented moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetfleet.workers import Context, LocalRunner, NodeError, Registry, Retry, VirtualClock, node, run

from .scripts import Gate, flow, statuses, turns, until_waiting

START = 1_000_000
DAY_MS = 86_400_000


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


@pytest.fixture
def tried(registry: Registry) -> list[int]:
    """When each attempt of the node `x.try` was made, after the start. It fails as long as its input says."""
    moments: list[int] = []

    @node("x.try", registry=registry)
    async def attempt(value: dict[str, Any], context: Context) -> str:
        moments.append(context.clock.now_ms() - START)
        if context.attempt <= value["failures"]:
            raise Retry(after=value["after"]) if "after" in value else NodeError("not yet")
        return "done"

    return moments


def trying(**retry: Any) -> dict[str, Any]:
    return flow({"a": {"type": "x.try", "retry": {"jitter": False, **retry}}})


async def test_thirty_days_are_over_at_once(clock: VirtualClock) -> None:
    approval = flow({"ask": {"type": "std::wait", "config": {"hook_id": "h", "timeout_secs": 30 * 86_400, "timeout_action": "reject"}}})
    result = await run(approval, clock=clock)
    assert (result.output["decision"], result.output["timed_out"]) == ("reject", True)
    assert result.ended_at - result.started_at == 30 * DAY_MS


async def test_attempts_are_made_at_the_documented_moments(clock: VirtualClock, registry: Registry, tried: list[int]) -> None:
    policy = trying(max_attempts=6, initial_delay_ms=1_000, backoff_multiplier=3, max_delay_ms=10_000)
    result = await run(policy, {"failures": 5}, clock=clock, registry=registry)
    assert result.completed
    assert tried == [0, 1_000, 4_000, 13_000, 23_000, 33_000]  # delays of 1, 3, 9, 10 and 10 s


async def test_the_defaults_are_three_attempts_a_second_and_two_apart(clock: VirtualClock, registry: Registry, tried: list[int]) -> None:
    result = await run(trying(), {"failures": 9}, clock=clock, registry=registry)
    assert (result.status, result.error.attempts, tried) == ("failed", 3, [0, 1_000, 3_000])


async def test_a_node_may_say_itself_when_it_wants_to_be_tried_again(clock: VirtualClock, registry: Registry, tried: list[int]) -> None:
    result = await run(trying(max_attempts=3), {"failures": 2, "after": 7.5}, clock=clock, registry=registry)
    assert (result.completed, tried) == (True, [0, 7_500, 15_000])


async def test_a_node_that_sleeps_by_the_clock_wakes_at_its_time(clock: VirtualClock, registry: Registry) -> None:
    @node("x.nap", timeout_ms=10_000, registry=registry)
    async def nap(seconds: float, context: Context) -> int:
        await context.clock.sleep(seconds)
        return context.clock.now_ms() - START

    assert (await run(flow({"a": "x.nap"}), 9.5, clock=clock, registry=registry)).output == 9_500


async def test_a_node_that_sleeps_past_its_timeout_is_cancelled_at_its_timeout(clock: VirtualClock, registry: Registry) -> None:
    @node("x.nap", registry=registry)
    async def nap(seconds: float, context: Context) -> None:
        await context.clock.sleep(seconds)

    result = await run(flow({"a": {"type": "x.nap", "timeout_ms": 5_000}}), 3_600, clock=clock, registry=registry)
    assert (result.error.type, result.ended_at - START) == ("timeout", 5_000)


async def test_a_node_that_really_waits_is_cancelled_after_its_timeout_in_real_time(clock: VirtualClock, registry: Registry) -> None:
    gate = Gate(registry)
    result = await run(flow({"a": {"type": "x.gate", "timeout_ms": 20}}), 1, clock=clock, registry=registry)
    assert (result.error.type, result.ended_at, gate.cancelled) == ("timeout", START, [1])


async def test_the_run_has_a_timeout_of_its_own(clock: VirtualClock) -> None:
    slow = flow({"a": {"type": "std::delay", "config": {"duration_ms": DAY_MS}}}, settings={"execution_timeout_ms": 60_000})
    result = await run(slow, clock=clock)
    assert (result.status, result.error.type, result.ended_at - START) == ("failed", "timeout", 60_000)


async def test_time_stands_still_while_anything_works(clock: VirtualClock, registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, clock=clock) as runner:
        run = runner.start(flow({"work": "x.gate", "late": {"type": "std::delay", "config": {"duration_ms": 1_000}}}), 1)
        await gate.holds(1)
        assert clock.now_ms() == START
        gate.open()
        assert (await run.result()).ended_at == START + 1_000


async def test_a_sleep_of_one_node_does_not_hide_the_work_of_another(clock: VirtualClock, registry: Registry) -> None:
    gate = Gate(registry)

    @node("x.naps", registry=registry)
    async def naps(value: Any, context: Context) -> int:
        await asyncio.gather(context.clock.sleep(1), context.clock.sleep(2))
        return context.clock.now_ms() - START

    async with LocalRunner(registry=registry, clock=clock) as runner:
        run = runner.start(flow({"work": "x.gate", "nap": "x.naps"}), 1)
        await gate.holds(1)
        assert clock.now_ms() == START
        gate.open()
        assert (await run.result()).output == {"work": 1, "nap": 2_000}


async def test_time_goes_on_after_a_branch_was_cancelled(clock: VirtualClock, registry: Registry) -> None:
    Gate(registry)
    race = flow(
        {"slow": "x.gate", "fast": "std::log", "first": {"type": "std::merge", "config": {"strategy": "any", "cancel_others": True}},
         "later": {"type": "std::delay", "config": {"duration_ms": 500}}},
        "slow -> first", "fast -> first", "first -> later",
    )  # fmt: skip
    assert (await run(race, 1, clock=clock, registry=registry)).ended_at == START + 500


async def test_time_goes_on_between_nodes_of_the_event_loop(clock: VirtualClock, registry: Registry) -> None:
    @node("x.quick", registry=registry)
    async def quick(value: Any) -> Any:
        return value

    chain = flow({"a": "x.quick", "b": {"type": "std::delay", "config": {"duration_ms": 500}}, "c": "x.quick"}, "a -> b", "b -> c")
    assert (await run(chain, 1, clock=clock, registry=registry)).ended_at == START + 500


async def test_many_runs_wait_at_once_and_end_in_the_order_of_their_times(clock: VirtualClock) -> None:
    delayed = flow({"a": {"type": "std::delay", "config": {"duration_ms": "${trigger.payload}"}}})
    async with LocalRunner(clock=clock) as runner:
        runs = [runner.start(delayed, seconds * 1_000) for seconds in (30, 10, 20)]
        assert [(await one.result()).ended_at - START for one in runs] == [30_000, 10_000, 20_000]


async def test_the_program_around_may_sleep_in_virtual_time_too(clock: VirtualClock) -> None:
    wait = flow({"w": {"type": "std::wait", "config": {"signal": "go", "timeout_secs": 3_600}}})
    async with LocalRunner(clock=clock) as runner:
        run = runner.start(wait)
        await until_waiting(run, "go")
        await clock.sleep(60)
        run.signal("go", "in time")
        result = await run.result()
    assert (result.output["response"], result.ended_at) == ("in time", START + 60_000)


async def test_a_paused_run_holds_its_timers(clock: VirtualClock) -> None:
    delayed = flow({"a": {"type": "std::delay", "config": {"duration_ms": 1_000}}})
    async with LocalRunner(clock=clock) as runner:
        run = runner.start(delayed)
        run.pause()
        await clock.sleep(10)
        assert run.nodes()["a"].status == "waiting"
        run.resume()
        assert (await run.result()).ended_at == START + 10_000


async def test_a_timer_and_a_long_node_do_not_disturb_each_other(clock: VirtualClock, registry: Registry) -> None:
    calls = []

    @node("x.long", registry=registry)
    async def long(value: Any, context: Context) -> str:
        calls.append(context.attempt)
        await context.clock.sleep(20)
        return "long"

    both = flow({"timer": {"type": "std::delay", "config": {"duration_ms": 5_000}}, "long": "x.long"})
    result = await run(both, 1, clock=clock, registry=registry)
    assert (statuses(result), calls) == ({"timer": "completed", "long": "completed"}, [1])


async def test_a_cancelled_sleeper_is_forgotten(clock: VirtualClock, registry: Registry) -> None:
    @node("x.nap", registry=registry)
    async def nap(value: Any, context: Context) -> None:
        await context.clock.sleep(1_000)

    async with LocalRunner(registry=registry, clock=clock) as runner:
        run = runner.start(flow({"a": {"type": "x.nap", "timeout_ms": 2_000_000}}))
        await turns(3)
        run.cancel()
        await run.result()
        after = await runner.run(flow({"b": {"type": "std::delay", "config": {"duration_ms": 7}}}))
    assert after.ended_at - after.started_at == 7
