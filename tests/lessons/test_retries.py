"""Lessons on attempts: what is done again and what is not, what stays the same when it is, and what is undone in the end."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.schemas.errors import JetfleetError
from jetfleet.schemas.records import Completion, TimerFired

from ..fleet.fleets import flow
from .killing import Steps, lesson
from .lives import Life, insist

DO = {"type": "k.do"}


def do(retry: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    return {"type": "k.do", "config": config} | ({} if retry is None else {"retry": {"jitter": False, **retry}})


@lesson
async def test_of_a_worker_that_died_in_a_node_only_this_node_is_executed_again(life: Life) -> Steps:
    nodes = {"first": DO, "left": do(gate="gate"), "right": do(gate="gate"), "last": DO}
    await life.deploy(flow("in-the-middle", nodes, ["first -> left", "first -> right", "left -> last", "right -> last"]))
    id = await life.send("in-the-middle", 1)
    await life.at_work("left")
    await life.at_work("right")
    yield None
    life.open("gate")
    yield None
    assert await life.output(id) == {"left": 1, "right": 1}
    assert life.executed() == {"first": 1, "left": 1, "right": 1, "last": 1}
    assert {line[2] for line in life.lines()} == {"1"}, "a death is no failed attempt"


@lesson
async def test_the_keys_of_two_nodes_differ_and_each_stays_the_same_over_attempts(life: Life) -> Steps:
    nodes = {name: do({"max_attempts": 2, "initial_delay_ms": 400}, fails=1) for name in ("charge", "book")}
    await life.deploy(flow("keys", nodes))
    id = await life.send("keys", 1)
    await life.recorded(id, Completion, 1)
    yield None
    await life.at_work("book")
    yield None
    await life.output(id)
    noted = [line.split() for line in (life.folder / "keys").read_text().splitlines()]
    keys = {node: {key for name, _, key in noted if name == node} for node in nodes}
    assert all(len(each) == 1 for each in keys.values()) and keys["charge"] != keys["book"]
    assert {(node, attempt) for node, attempt, _ in noted} == {(node, attempt) for node in nodes for attempt in ("1", "2")}


@lesson
async def test_an_error_that_was_caught_stands_in_no_later_attempts_way(life: Life) -> Steps:
    nodes = {
        "lost": do(fails=9, permanent=True),
        "handle": do({"max_attempts": 3, "initial_delay_ms": 300, "backoff_multiplier": 1.5}, fails=2),
        "end": DO,
    }
    await life.deploy(flow("caught", nodes, ["lost.error -> handle", "handle -> end"]))
    id = await life.send("caught", 1)
    await life.recorded(id, Completion, 2)
    yield None
    await life.recorded(id, TimerFired)
    yield None
    assert (await life.output(id))["end"]["type"] == "told"
    assert {line[2] for line in life.lines() if line[3] == "lost"} == {"1"}, "what fails for good is tried once"
    assert {line[2] for line in life.lines() if line[3] == "handle"} == {"1", "2", "3"}


@lesson
async def test_of_a_retry_policy_what_is_left_out_has_its_defaults(life: Life) -> Steps:
    await life.deploy(flow("partial", {"try": do({"initial_delay_ms": 200}, fails=9)}))
    with pytest.raises(JetfleetError, match="max_attempts"):
        await life.deploy(flow("partial", {"try": do({"max_attempts": 0}, fails=9)}))
    with pytest.raises(JetfleetError, match="`P1X` is not a duration"):
        await life.deploy(flow("partial", {"try": DO}, settings={"ttl": "P1X"}))
    id = await life.send("partial", 1)
    await life.recorded(id, Completion)
    yield None
    summary = await life.ended(id)
    assert summary.error is not None and (summary.error.type, summary.error.attempts) == ("told", 3)
    first, second, third = life.log.of(id, Completion)
    assert (second.at - first.at, third.at - second.at) >= (200, 400), "twice as long each time"
    assert life.kinds(id) == ["RunStarted", "Completion", "TimerFired", "Completion", "TimerFired", "Completion"]


@lesson
async def test_what_had_completed_is_undone_backwards_once_and_both_errors_are_told(life: Life) -> Steps:
    nodes = {
        "flight": DO | {"compensate": "cancel-flight"},
        "hotel": DO | {"compensate": "cancel-hotel"},
        "car": do({"max_attempts": 3, "initial_delay_ms": 100}, fails=9, type="sold_out") | {"compensate": "cancel-car"},
        "cancel-flight": DO,
        "cancel-hotel": do(gate="gate", fails=9, permanent=True, type="hotel_closed"),
        "cancel-car": DO,
    }
    await life.deploy(flow("journey", nodes, ["flight -> hotel", "hotel -> car"]))
    id = await life.send("journey", "Atlantis")
    await life.at_work("car")
    yield None
    await life.at_work("cancel-hotel")
    yield None
    life.open("gate")
    yield None
    summary = await life.ended(id)
    assert summary.status == "failed" and summary.error is not None and (summary.error.type, summary.error.attempts) == ("sold_out", 3)
    (undoing,) = summary.error.details["compensation_errors"]
    assert (undoing["node"], undoing["type"]) == ("cancel-hotel", "hotel_closed")
    assert life.begun() == ["flight", "hotel", "car", "cancel-hotel", "cancel-flight"], "what never completed is not undone"
    ended = {(each.activation, each.attempt) for each in life.log.journal(id) if isinstance(each, Completion)}
    assert len(ended) == 2 + 3 + 2


@lesson
async def test_events_with_one_key_are_one_run_with_one_result_also_after_its_end(life: Life) -> Steps:
    await life.deploy(flow("same-key", {"do": DO, "wait": {"type": "std::wait", "config": {"signal": "go"}}}))
    id = await life.send("same-key", "first", id="order-1")
    yield None
    assert await life.send("same-key", "second", id="order-1") == id
    await life.waits(id)
    yield None
    await life.client.signal(id, "go", id="s")
    said = await life.output(id)
    yield None
    again = await life.client.start("same-key", "third", id="order-1")
    assert (await again.result(15)).output == said and said["input"] == "first"
    yield None
    assert life.executed() == {"do": 1}
    assert life.kinds(id) == ["RunStarted", "Completion", "SignalReceived"]


@lesson
async def test_an_attempt_that_takes_too_long_is_cancelled_and_counts(life: Life) -> Steps:
    slow = do({"max_attempts": 2, "initial_delay_ms": 300}, gate="never") | {"timeout_ms": 700}
    await life.deploy(flow("slow", {"slow": slow, "after": DO}, ["slow.error -> after"]))
    id = await life.send("slow", 1)
    await life.at_work("slow")
    yield None
    await life.recorded(id, Completion)
    yield None
    error = (await life.output(id))["after"]
    assert (error["type"], error["attempts"]) == ("timeout", 2)
    await life.cancelled("slow")
    shown = await life.shown(id)
    assert {key: (view.status, view.attempts) for key, view in shown.nodes().items()} == {"slow": ("failed", 2), "after": ("completed", 1)}


@lesson
async def test_a_run_that_is_tried_again_keeps_what_it_had_completed(life: Life) -> Steps:
    await life.deploy(flow("again", {"first": DO, "bad": do(fails=1, permanent=True), "last": DO}))
    id = await life.send("again", 1)
    assert (await life.ended(id)).status == "failed"
    yield None
    await insist(lambda: life.client.retry(id, reason="repaired"))
    yield None
    await life.recorded(id, Completion, 4)
    yield None
    shown = await life.shown(id)
    assert (shown.status, shown.output) == ("completed", 1)
    assert life.executed() == {"first": 1, "bad": 2, "last": 1}
    assert life.kinds(id).count("RunReopened") == 1


@lesson
async def test_a_run_that_is_cancelled_undoes_what_it_had_completed_once(life: Life) -> Steps:
    nodes = {"book": DO | {"compensate": "unbook"}, "wait": {"type": "std::wait", "config": {"signal": "never"}}, "unbook": do(gate="gate")}
    await life.deploy(flow("cancelled", nodes, ["book -> wait"]))
    id = await life.send("cancelled", 1)
    await life.waits(id, 1, "signal")
    yield None
    await life.client.cancel(id, "too late")
    await life.at_work("unbook")
    yield None
    life.open("gate")
    summary = await life.ended(id)
    assert summary.status == "cancelled" and summary.error is not None and "too late" in summary.error.message
    assert {record.activation for record in life.log.of(id, Completion)} == {(0,), (2,)}
    assert life.executed()["book"] == 1
