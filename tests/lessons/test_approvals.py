"""Lessons on approvals: who need not be asked, who is asked next, what an answer carries, and that only the first one counts."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.broker.api.approval_errors import AlreadyAnswered, TokenUsed
from jetfleet.broker.api.errors import RunEnded
from jetfleet.schemas.records import RunStarted, SignalReceived, TimerFired

from ..fleet.fleets import flow
from .killing import Steps, lesson
from .lives import Life, insist

DO = {"type": "k.do"}


def ask(hook: str, **config: Any) -> dict[str, Any]:
    return {"type": "std::wait", "config": {"hook_id": hook, **config}}


@lesson
async def test_small_amounts_ask_nobody_and_both_ways_join_in_a_node_that_runs_once(life: Life) -> Steps:
    small = {"type": "std::switch", "config": {"condition": {"type": "less_than", "field": "amount", "value": 1_000}}}
    nodes = {"small": small, "ask": ask("order"), "process": DO, "refused": DO}
    await life.deploy(flow("amounts", nodes, ["small.true -> process", "small.false -> ask", "ask -> process", "ask.rejected -> refused"]))
    little, yes, no = [await life.send("amounts", {"amount": amount}) for amount in (999, 1_000, 5_000)]
    await life.completed(little, 1)
    for id in (yes, no):
        await life.asked(id, "order")
    yield None
    await life.answer(yes, "order", "approve")
    await life.answer(no, "order", "reject")
    yield None
    assert set(await life.output(little)) == {"process"}
    assert (await life.output(yes))["process"]["input"] == {"amount": 1_000}
    assert set(await life.output(no)) == {"refused"}
    assert life.executed() == {"process": 2, "refused": 1}
    assert life.kinds(little) == ["RunStarted", "Completion"], "nobody was asked"


@lesson
async def test_nobody_in_time_is_a_no(life: Life) -> Steps:
    nodes = {"ask": ask("order", timeout_ms=600), "approved": DO, "rejected": DO}
    await life.deploy(flow("in-vain", nodes, ["ask -> approved", "ask.rejected -> rejected"]))
    id = await life.send("in-vain", {"amount": 1})
    await life.recorded(id, RunStarted)
    yield None
    said = (await life.output(id))["rejected"]
    assert (said["decision"], said["timed_out"], said["input"]) == ("reject", True, {"amount": 1})
    assert life.executed() == {"rejected": 1}
    with pytest.raises(RunEnded):
        await insist(lambda: life.client.decide(id, "order", "approve"))


@lesson
async def test_who_is_asked_in_vain_is_followed_by_who_stands_above(life: Life) -> Steps:
    nodes = {
        "manager": ask("manager", timeout_ms=500, timeout_action="escalate"),
        "director": ask("director", timeout_ms=600_000),
        "process": DO,
    }
    await life.deploy(flow("escalation", nodes, ["manager -> process", "manager.escalated -> director", "director -> process"]))
    id = await life.send("escalation", {"amount": 1})
    yield None
    await life.asked(id, "director")
    yield None
    await life.answer(id, "director", "approve", by="eve")
    yield None
    said = await life.output(id)
    assert (said["by"], said["input"]["decision"], said["input"]["input"]) == ("eve", "escalate", {"amount": 1})
    assert life.executed() == {"process": 1}
    assert [record.timer.activation for record in life.log.of(id, TimerFired)] == [(0,)], "the second limit was called off"


@lesson
async def test_what_a_callback_says_reaches_the_next_node_with_what_had_come_before(life: Life) -> Steps:
    await life.deploy(flow("callback", {"prepare": DO, "call": ask("callback", timeout_secs=86_400), "use": DO}))
    id = await life.send("callback", {"order": 7})
    token = await life.client.token(await life.asked(id, "callback"))
    yield None
    await insist(lambda: life.client.answer(token, "approve", response={"receipt": "r-7"}, id="one"))
    yield None
    said = await life.output(id)
    assert (said["response"], said["input"], said["timed_out"]) == ({"receipt": "r-7"}, {"order": 7}, False)
    assert life.executed() == {"prepare": 1, "use": 1}


@lesson
async def test_the_first_answer_counts_and_everybody_else_is_told_so(life: Life) -> Steps:
    await life.deploy(flow("twice-answered", {"ask": ask("order"), "do": DO, "hold": ask("later")}))
    id = await life.send("twice-answered", 1)
    asked = await life.asked(id, "order")
    token = await life.client.token(asked)
    yield None
    await life.answer(id, "order", "approve", by="ann")
    yield None
    with pytest.raises(TokenUsed, match=r"by ann .*: approve"):
        await insist(lambda: life.client.answer(token, "reject"))
    with pytest.raises(AlreadyAnswered, match=r"by ann .*: approve"):
        await insist(lambda: life.client.answer(asked, "reject"))
    yield None
    await life.answer(id, "later", "approve")
    await life.output(id)
    assert len(life.log.of(id, SignalReceived)) == 2, "what was refused was not written"
    assert life.executed() == {"do": 1}


@lesson
async def test_approvals_of_one_name_in_several_runs_are_each_runs_own(life: Life) -> Steps:
    await life.deploy(flow("namesakes", {"ask": ask("order"), "do": DO}))
    first, second = [await life.send("namesakes", n) for n in range(2)]
    for id in (first, second):
        await life.asked(id, "order")
    yield None
    await life.answer(first, "order", "approve")
    yield None
    assert (await life.output(first))["decision"] == "approve"
    assert (await life.asked(second, "order")).run == second
    yield None
    await life.client.cancel(second)
    assert (await life.ended(second)).status == "cancelled"
    assert life.executed() == {"do": 1}
