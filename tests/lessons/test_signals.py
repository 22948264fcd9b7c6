"""Lessons on signals and events: early, out of order, repeated, sent while nobody is there."""

from __future__ import annotations

from typing import Any

from jetfleet.schemas.subjects import run_id

from ..fleet.fleets import flow
from .killing import Steps, lesson
from .lives import Life

DO = {"type": "k.do"}


def wait(signal: str, **config: Any) -> dict[str, Any]:
    return {"type": "std::wait", "config": {"signal": signal, **config}}


@lesson
async def test_two_signals_that_are_awaited_at_once_come_in_any_order(life: Life) -> Steps:
    nodes = {"start": {"type": "std::merge"}, "a": wait("paid"), "b": wait("packed"), "both": {"type": "std::merge"}}
    await life.deploy(flow("both-signals", nodes, ["start -> a", "start -> b", "a -> both", "b -> both"]))
    orders = (("paid", "packed"), ("packed", "paid"))
    runs = [await life.send("both-signals", n) for n in range(2)]
    for id in runs:
        await life.waits(id, 2)
    yield None
    for place in range(2):
        for id, order in zip(runs, orders, strict=True):
            await life.client.signal(id, order[place], order[place].upper(), id=order[place])
        yield None
    for id in runs:
        said = await life.output(id)
        assert {key: value["response"] for key, value in said.items()} == {"a": "PAID", "b": "PACKED"}
        assert life.kinds(id) == ["RunStarted", "SignalReceived", "SignalReceived"]


@lesson
async def test_signatures_that_come_in_another_order_than_they_are_wanted_are_kept(life: Life) -> Steps:
    await life.deploy(flow("signatures", {"legal": wait("legal"), "finance": wait("finance"), "ceo": wait("ceo")}))
    id = await life.send("signatures", "contract")
    for name in ("ceo", "finance", "legal"):
        await life.client.signal(id, name, f"signed by {name}")
        yield None
    said = await life.output(id)
    assert said["response"] == "signed by ceo" and said["input"]["input"] == {**said["input"]["input"], "response": "signed by legal"}
    assert life.kinds(id).count("SignalReceived") == 3


@lesson
async def test_a_signal_that_is_sent_again_and_again_ends_one_wait(life: Life) -> Steps:
    await life.deploy(flow("repeated", {"first": wait("go"), "do": DO, "second": wait("go")}))
    id = await life.send("repeated", 1)
    for _ in range(3):
        await life.client.signal(id, "go", "once", id="s1")
        yield None
    await life.waits(id)
    await life.client.signal(id, "go", "twice", id="s2")
    yield None
    said = await life.output(id)
    assert (said["input"]["response"], said["response"]) == ("once", "twice")
    assert life.executed() == {"do": 1}


@lesson
async def test_a_signal_that_is_sent_before_its_run_has_begun_is_kept(life: Life) -> Steps:
    await life.deploy(flow("before", {"do": DO, "wait": wait("go")}))
    await life.client.signal(run_id("before", "k1"), "go", "early")
    yield None
    id = await life.send("before", 1, id="k1")
    yield None
    assert (await life.output(id))["response"] == "early"


@lesson
async def test_an_event_that_does_not_fit_ends_no_wait_and_the_limit_does(life: Life) -> Steps:
    def paid(timeout_ms: int) -> dict[str, Any]:
        limit = {"timeout_ms": timeout_ms, "timeout_action": "fail"}
        return {
            "paid": {"type": "std::wait", "config": {"event": "lesson-paid", "correlate": {"order.id": "${go.id}"}, **limit}},
            "ship": DO,
        }

    await life.deploy(flow("correlated", paid(600_000)), flow("correlated-briefly", paid(3_000)))
    fits, other, waits = [await life.send(name, {"id": n}) for name, n in (("correlated", 7), ("correlated", 8), ("correlated-briefly", 8))]
    for id in (fits, other):
        await life.waits(id)
    yield None
    await life.client.event("lesson-paid", {"order": {"id": 9}})  # perhaps nobody is there: it is in the log, behind the waits
    await life.client.event("lesson-paid", {"order": {"id": 7}, "amount": 3})
    yield None
    assert (await life.output(fits))["response"] == {"order": {"id": 7}, "amount": 3}
    summary = await life.ended(waits)
    assert (summary.status, summary.error and (summary.error.type, summary.error.node)) == ("failed", ("timeout", "paid"))
    await life.waits(other)
    assert life.executed() == {"ship": 1}
