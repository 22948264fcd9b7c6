"""Lessons on sub-flows: side by side, begun once, with errors that keep their types, and ended with their parents."""

from __future__ import annotations

from typing import Any

from jetfleet.schemas.records import ChildEnded, RunStarted

from ..fleet.fleets import flow
from .killing import Steps, lesson
from .lives import Life

DO = {"type": "k.do"}


def call(child: str, **config: Any) -> dict[str, Any]:
    return {"type": "std::subflow", "config": {"flow": child, **config}}


def children(life: Life, parent: str) -> list[str]:
    return sorted(id for id in life.log.begun if any(start.parent and start.parent[0] == parent for start in life.log.of(id, RunStarted)))


@lesson
async def test_three_children_work_at_the_same_time(life: Life) -> Steps:
    """None of them ends before all have begun."""
    split = {"type": "std::split", "config": {"field": "$", "mode": "parallel", "max_parallel": 3}}
    await life.deploy(flow("side-child", {"meet": {"type": "k.do", "config": {"until_all": 3, "gate": "gate"}}, "after": DO}))
    await life.deploy(flow("side-parent", {"each": split, "call": call("side-child")}, ["each.item -> call"]))
    id = await life.send("side-parent", ["a", "b", "c"])
    await life.at_work("meet", 3)
    yield None
    life.open("gate")
    await life.recorded(id, ChildEnded)
    yield None
    assert await life.output(id) == ["a", "b", "c"]
    assert children(life, id) == [f"{id}.call[{n}]" for n in range(3)]
    assert life.executed()["meet"] == 3


@lesson
async def test_a_child_begins_once_and_its_parent_hears_of_its_end(life: Life) -> Steps:
    await life.deploy(flow("waiting-child", {"do": DO, "wait": {"type": "std::wait", "config": {"signal": "go"}}, "last": DO}))
    await life.deploy(flow("waiting-parent", {"before": DO, "call": call("waiting-child"), "after": DO}))
    id = await life.send("waiting-parent", 1)
    yield None
    await life.waits(f"{id}.call", 1, "signal")
    yield None
    await life.client.signal(f"{id}.call", "go", "said", id="s")
    yield None
    await life.ended(f"{id}.call")
    yield None
    assert (await life.output(id))["response"] == "said"
    assert children(life, id) == [f"{id}.call"]
    assert life.begun() == ["before", "do", "last", "after"]
    assert life.executed()["before"] == life.executed()["after"] == 1
    assert life.kinds(f"{id}.call").count("RunStarted") == 1


@lesson
async def test_the_error_of_a_child_reaches_its_parent_with_its_type_after_its_last_attempt(life: Life) -> Steps:
    retry = {"max_attempts": 3, "initial_delay_ms": 200, "jitter": False}
    await life.deploy(flow("bureau", {"ask": {"type": "k.do", "config": {"fails": 9, "type": "bureau"}, "retry": retry}}))
    await life.deploy(flow("bureau-late", {"ask-late": {"type": "k.do", "config": {"fails": 2, "gives": 720}, "retry": retry}}))
    nodes = {"check": call("bureau"), "other": call("bureau-late"), "end": DO}
    await life.deploy(flow("loan", nodes, ["check.error -> other", "other -> end"]))
    id = await life.send("loan", 1)
    await life.at_work("ask")
    yield None
    await life.at_work("ask-late")
    yield None
    assert await life.output(id) == {"end": 720}
    child = await life.ended(f"{id}.check")
    assert child.error is not None and (child.error.type, child.error.attempts) == ("bureau", 3)
    (told,) = {(each.child, each.error.type) for each in life.log.of(id, ChildEnded) if each.error is not None}
    assert told == (f"{id}.check", "bureau")
    assert {line[2] for line in life.lines() if line[3] == "ask"} == {"1", "2", "3"}
    assert life.executed()["ask"] == 3


@lesson
async def test_a_parent_that_is_cancelled_takes_its_child_along(life: Life) -> Steps:
    await life.deploy(flow("endless", {"do": DO, "wait": {"type": "std::wait", "config": {"signal": "never"}}}))
    await life.deploy(flow("cancelled-parent", {"call": call("endless"), "after": DO}))
    id = await life.send("cancelled-parent", 1)
    await life.waits(f"{id}.call", 1, "signal")
    yield None
    await life.client.cancel(id, "enough")
    yield None
    assert {(await life.ended(run)).status for run in (id, f"{id}.call")} == {"cancelled"}
    assert life.executed() == {"do": 1}
