"""Lessons on timers: late ones, many at once, beside work that takes long, and over runs that are paused or take too long."""

from __future__ import annotations

from typing import Any

from jetfleet.schemas.records import Completion, PauseRequested, ResumeRequested, RunStarted, TimerFired

from ..fleet.fleets import flow
from .killing import Steps, lesson
from .lives import Life

DO = {"type": "k.do"}


def delay(ms: int) -> dict[str, Any]:
    return {"type": "std::delay", "config": {"duration_ms": ms}}


@lesson
async def test_a_timer_that_came_due_while_nobody_was_there_fires_at_once_and_once(life: Life) -> Steps:
    await life.deploy(flow("late", {"before": DO, "pause": delay(1_500), "after": DO}))
    started: list[RunStarted] = []

    async def set() -> int:
        id = await life.send("late", "value")
        await life.waits(id, 1, "timer")
        started.extend(await life.recorded(id, RunStarted))
        return started[0].at + 2_500

    yield set
    id = started[0].run
    (fired,) = await life.recorded(id, TimerFired)
    assert fired.at >= started[0].at + (2_500 if life.goes_down else 1_500)
    yield None
    assert await life.output(id) == "value"
    assert life.kinds(id) == ["RunStarted", "Completion", "TimerFired", "Completion"]
    assert life.executed() == {"before": 1, "after": 1}


@lesson
async def test_a_timer_and_a_long_task_beside_it_leave_each_other_alone(life: Life) -> Steps:
    nodes = {
        "begin": DO,
        "pause": delay(200),
        "after": DO,
        "long": {"type": "k.do", "config": {"gate": "gate"}},
        "end": {"type": "std::merge"},
    }
    await life.deploy(flow("beside", nodes, ["begin -> pause", "pause -> after", "after -> end", "begin -> long", "long -> end"]))
    id = await life.send("beside", 1)
    await life.at_work("long")
    yield None
    await life.recorded(id, TimerFired)
    await life.completed(id, 2)
    life.open("gate")
    yield None
    assert await life.output(id) == {"after": 1, "long": 1}
    assert life.executed() == {"begin": 1, "after": 1, "long": 1}
    assert {record.attempt for record in life.log.of(id, Completion)} == {1}


@lesson
async def test_what_follows_a_timer_runs_also_behind_a_node_that_gives_nothing(life: Life) -> Steps:
    nodes = {"nothing": {"type": "k.do", "config": {"gives": None}}, "pause": delay(300), "after": DO}
    await life.deploy(flow("nothing-given", nodes))
    id = await life.send("nothing-given", 1)
    await life.completed(id, 1)
    yield None
    assert await life.output(id) is None
    assert life.executed() == {"nothing": 1, "after": 1}


@lesson
async def test_each_of_many_timers_of_one_node_fires_once(life: Life) -> Steps:
    split = {"type": "std::split", "config": {"field": "$", "mode": "parallel", "max_parallel": 20}}
    await life.deploy(flow("many-timers", {"each": split, "pause": delay(500), "do": DO}, ["each.item -> pause", "pause -> do"]))
    id = await life.send("many-timers", list(range(20)))
    await life.recorded(id, RunStarted)
    yield None
    await life.recorded(id, TimerFired, 20)
    yield None
    assert await life.output(id) == list(range(20))
    applied = {record.timer for record in life.log.of(id, TimerFired)}
    assert len(applied) == 20
    assert life.executed()["do"] == 20


@lesson
async def test_a_timer_that_comes_due_in_a_paused_run_takes_effect_when_it_is_resumed(life: Life) -> Steps:
    await life.deploy(flow("held", {"pause": delay(2_000), "after": DO}))
    id = await life.send("held", 1)
    await life.recorded(id, RunStarted)
    await life.client.pause(id)
    await life.recorded(id, PauseRequested)
    yield None
    await life.recorded(id, TimerFired)
    yield None
    assert life.executed() == {} and len(life.log.of(id, ResumeRequested)) == 0
    await life.client.resume(id)
    yield None
    assert await life.output(id) == 1
    assert life.executed() == {"after": 1}


@lesson
async def test_a_run_whose_time_is_over_fails_and_its_work_is_cancelled(life: Life) -> Steps:
    await life.deploy(flow("too-long", {"stuck": {"type": "k.do", "config": {"gate": "never"}}}, settings={"execution_timeout_ms": 1_500}))
    id = await life.send("too-long", 1)
    await life.at_work("stuck")
    yield None
    summary = await life.ended(id)
    assert (summary.status, summary.error and summary.error.type) == ("failed", "timeout")
    if not life.worker_dies:  # a worker that takes the place of a dead one asks first, and hears that nobody wants it any more
        await life.cancelled("stuck")
    yield None
    assert [record.timer.purpose for record in life.log.of(id, TimerFired)] == ["run"], "nobody fires it a second time"
    assert life.log.of(id, Completion) == []
