"""How much happens at once: branches, slots, concurrency keys, and runs of one flow. Nothing here looks at a watch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jetfleet.workers import LocalRun, LocalRunner, Registry, node, run

from .scripts import Gate, flow, turns, until

WIDE = flow({f"n{number}": "x.gate" for number in range(10)})


def keyed(on_limit: str, maximum: int = 1, **node: Any) -> dict[str, Any]:
    """A flow whose one node runs at most `maximum` times per customer."""
    limits = {"max": maximum, "key": "${trigger.payload.customer}", "on_limit": on_limit}
    return flow({"a": {"type": "x.gate", "concurrency": limits, **node}})


async def test_the_branches_of_a_diamond_run_at_the_same_time(registry: Registry) -> None:
    both = asyncio.Barrier(2)

    @node("x.meet", registry=registry)
    async def meet(value: str) -> str:
        await both.wait()  # passed only if the other branch is inside too
        return value

    diamond = flow(
        {"a": "std::log", "b": "x.meet", "c": "x.meet", "d": "std::merge"},
        "a -> b", "a -> c", "b -> d", "c -> d",
    )  # fmt: skip
    result = await run(diamond, "hello", registry=registry)
    assert result.output == {"b": "hello", "c": "hello"}


async def test_ten_branches_in_three_slots_run_three_at_a_time(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, slots=3) as runner:
        run = runner.start(WIDE)
        await gate.holds(3)
        gate.open()
        assert (await run.result()).completed
    assert gate.most == 3


async def test_in_one_slot_attempts_run_one_after_the_other(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, slots=1) as runner:
        run = runner.start(WIDE)
        await gate.holds(1)
        gate.open()
        assert (await run.result()).completed
    assert gate.most == 1


async def test_slots_are_shared_by_all_runs(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry, slots=3) as runner:
        runs = [runner.start(WIDE) for _ in range(3)]
        await gate.holds(3)
        gate.open()
        assert all([(await run.result()).completed for run in runs])
    assert gate.most == 3


async def test_threads_run_side_by_side_too(registry: Registry) -> None:
    import threading

    both = threading.Barrier(2)

    @node("x.meet", registry=registry)
    def meet(value: str) -> str:
        both.wait()
        return value

    assert (await run(flow({"a": "x.meet", "b": "x.meet"}), "hi", registry=registry)).output == {"a": "hi", "b": "hi"}


async def test_a_fast_branch_goes_on_before_its_slow_sibling_ends(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        run = runner.start(flow({"slow": "x.gate", "fast": "std::log", "after": "std::log"}, "fast -> after"), 1)
        await until(lambda: "after" in run.nodes() and run.nodes()["after"].status == "completed")
        assert run.nodes()["slow"].status == "running"
        gate.open()
        assert (await run.result()).completed


# --- concurrency keys


async def test_a_key_lets_only_so_many_run_and_others_are_not_held_up(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        events = [{"customer": customer, "n": number} for number, customer in enumerate("aaabb")]
        runs = [runner.start(keyed("queue"), event) for event in events]
        await gate.holds(2)
        assert [value["customer"] for value in gate.inside] == ["a", "b"]
        gate.open()
        assert [(await run.result()).output for run in runs] == events
    assert gate.most == 2


async def test_those_that_wait_for_a_key_come_in_their_order(registry: Registry) -> None:
    order = []

    @node("x.gate", registry=registry)
    async def note(value: dict[str, Any]) -> None:
        order.append(value["n"])
        await turns(2)

    async with LocalRunner(registry=registry) as runner:
        runs = [runner.start(keyed("queue", 2), {"customer": "a", "n": number}) for number in range(8)]
        for run in runs:
            await run.result()
    assert order == list(range(8))


async def test_one_who_waits_for_a_key_can_be_cancelled_and_the_next_moves_up(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        first, second, third = [runner.start(keyed("queue"), {"customer": "a", "n": number}) for number in range(3)]
        await gate.holds(1)
        second.cancel("changed my mind")
        assert (await second.result()).status == "cancelled"
        gate.open()
        assert [(await one.result()).output["n"] for one in (first, third)] == [0, 2]


async def test_reject_fails_the_attempt_that_finds_no_room(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        first, second = [runner.start(keyed("reject"), {"customer": "a", "n": number}) for number in range(2)]
        result = await second.result()
        assert (result.status, result.error.type, result.error.retryable) == ("failed", "concurrency_limit", True)
        gate.open()
        assert (await first.result()).completed
        assert (await runner.run(keyed("reject"), {"customer": "a"})).completed, "the room is free again"


async def test_cancel_oldest_makes_room_for_the_newest(registry: Registry) -> None:
    gate = Gate(registry)
    async with LocalRunner(registry=registry) as runner:
        oldest = runner.start(keyed("cancel_oldest"), {"customer": "a", "n": 0})
        await gate.holds(1)
        middle, newest = [runner.start(keyed("cancel_oldest"), {"customer": "a", "n": number}) for number in (1, 2)]
        for superseded in (oldest, middle):
            error = (await superseded.result()).error
            assert (error.type, error.retryable) == ("concurrency_limit", False)
        gate.open()
        assert (await newest.result()).output["n"] == 2
    assert gate.most == 1


async def test_a_key_that_cannot_be_read_fails_the_node_and_not_the_runner(registry: Registry) -> None:
    gate = Gate(registry)
    gate.open()
    async with LocalRunner(registry=registry) as runner:
        assert (await runner.run(keyed("queue"), {"customer": None})).completed, "no customer: one shared key"
        assert (await runner.run(keyed("queue"), 7)).completed


# --- runs of one flow


async def started(runs: list[LocalRun]) -> list[bool]:
    await turns()
    return [bool(run.nodes()) for run in runs]


async def test_only_so_many_runs_of_a_flow_are_open_at_once(registry: Registry) -> None:
    gate = Gate(registry)
    limited = flow({"a": "x.gate"}, settings={"max_concurrent_executions": 2})
    async with LocalRunner(registry=registry) as runner:
        runs = [runner.start(limited, number) for number in range(5)]
        other = runner.start(flow({"a": "x.gate"}, name="other"), "other")
        assert await started([*runs, other]) == [True, True, False, False, False, True]
        gate.open()
        assert [(await run.result()).output for run in runs] == [0, 1, 2, 3, 4]
    assert gate.most == 3


async def test_a_run_that_waits_to_be_admitted_can_be_cancelled_and_does_nothing(registry: Registry) -> None:
    gate = Gate(registry)
    limited = flow({"a": {"type": "std::emit", "config": {"subject": "begun"}}, "b": "x.gate"}, settings={"max_concurrent_executions": 1})
    async with LocalRunner(registry=registry) as runner:
        first, second, third = [runner.start(limited, number) for number in range(3)]
        second.cancel("not needed")
        result = await second.result()
        assert (result.status, result.error.message) == ("cancelled", "not needed")
        assert (result.nodes(), result.records) == ({}, 0)
        gate.open()
        assert (await first.result()).completed
        assert (await third.result()).completed
        assert [emitted.run for emitted in runner.emitted] == [first.id, third.id]


async def test_a_signal_for_a_run_that_waits_to_be_admitted_is_kept(registry: Registry) -> None:
    gate = Gate(registry)
    limited = flow(
        {"a": "x.gate", "b": {"type": "std::wait", "config": {"signal": "go"}}}, "a -> b", settings={"max_concurrent_executions": 1}
    )
    async with LocalRunner(registry=registry) as runner:
        runs = [runner.start(limited, number) for number in range(2)]
        for run in runs:
            run.signal("go", run.id)
        gate.open()
        assert [(await run.result()).output["response"] for run in runs] == [run.id for run in runs]


@pytest.mark.parametrize("slots", [1, 4])
async def test_children_never_wait_for_the_places_that_their_parents_hold(slots: int) -> None:
    limits = {"max_concurrent_executions": 1}
    parent = flow({"call": {"type": "std::subflow", "config": {"flow": "child"}}}, name="parent", settings=limits)
    child = flow({"a": "std::log"}, name="child", settings=limits)
    async with LocalRunner(flows={"child": child}, slots=slots) as runner:
        runs = [runner.start(parent, number) for number in range(3)]
        assert [(await run.result()).output for run in runs] == [0, 1, 2]
