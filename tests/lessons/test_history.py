"""Lessons on what is remembered: the order of records, the state at any of them, and being told of a run while it goes on."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

from jetfleet.broker.engine import decide, digest, fold, restore, snapshot, state_at
from jetfleet.schemas.messages import encode
from jetfleet.schemas.records import Completion

from ..fleet.fleets import flow
from .killing import NOTHING, WORKER_TOO, Stage, Steps, lesson
from .lives import Life, insist

DO = {"type": "k.do"}


@lesson
async def test_the_state_at_any_record_is_what_the_records_up_to_it_make_and_a_snapshot_of_it_goes_on_like_it(life: Life) -> Steps:
    nodes: dict[str, Any] = {f"n{place}": {"type": "k.do", "config": {"gate": "gate"} if place in (5, 9) else {}} for place in range(12)}
    await life.deploy(flow("twelve", nodes))
    id = await life.send("twelve", 1)
    await life.at_work("n5")
    yield None
    life.open("gate")
    yield None
    await life.output(id)
    studied = await insist(lambda: life.client.studied(id))
    journal, plan = studied.journal, studied.plan
    assert journal == life.log.journal(id)
    ended = [record.activation for record in journal if isinstance(record, Completion)]
    assert list(dict.fromkeys(ended)) == [(place,) for place in range(12)], "10 comes after 9"
    whole = digest(fold(plan, journal))
    for count in range(1, len(journal) + 1):
        state = state_at(plan, journal, count)
        assert digest(state) == digest(fold(plan, journal[:count]))
        shown = await life.client.state(id, records=count)
        assert [view.status for view in shown.nodes().values()].count("completed") == len(set(ended[: count - 1]))
        restored = restore(plan, snapshot(state))
        for record in journal[count:]:
            decide(restored, record)
        assert digest(restored) == whole


@lesson
async def test_who_follows_a_run_is_told_every_record_once_and_of_its_end(life: Life) -> Steps:
    nodes = {
        "first": DO,
        "wait": {"type": "std::wait", "config": {"signal": "go"}},
        "second": DO,
        "more": {"type": "std::wait", "config": {"signal": "go"}},
        "last": DO,
    }
    await life.deploy(flow("followed", nodes))
    id = await life.send("followed", 1)
    await life.waits(id)
    command = ("-m", "jetfleet.schemas", "runs", "history", id, "--follow", "--nats", life.url, "-o", "json")
    follower = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert follower.stdout is not None
    told = [json.loads(await follower.stdout.readline()) for _ in range(2)]
    yield None
    await life.client.signal(id, "go", id="s1")
    yield None
    await life.completed(id, 2)
    yield None
    await life.client.signal(id, "go", id="s2")
    await life.output(id)
    yield None
    rest, said = await follower.communicate()
    told += [json.loads(line) for line in rest.splitlines()]
    assert follower.returncode == 0, said.decode()
    assert [each["kind"] for each in told] == life.kinds(id)
    assert [each["record"] for each in told] == list(range(len(told)))


@lesson
async def test_a_run_with_something_to_do_is_running_and_not_waiting(life: Life) -> Steps:
    await life.deploy(flow("gated", {"first": DO, "second": {"type": "k.do", "config": {"gate": "gate"}}, "last": DO}))
    id = await life.send("gated", 1)
    await life.at_work("second")
    yield None
    view = await life.waits(id, 1, "task")
    assert view.status == "running" and [(key, status) for key, status, _, _ in view.nodes] == [
        ("first", "completed"),
        ("second", "running"),
        ("last", "pending"),
    ]
    life.open("gate")
    yield None
    await life.output(id)
    ended = await life.shown(id)
    assert {view.status for view in ended.nodes().values()} == {"completed"}


@lesson
async def test_who_waits_for_a_result_gets_it_whatever_has_died_meanwhile(life: Life) -> Steps:
    await life.deploy(flow("awaited", {"first": DO, "wait": {"type": "std::wait", "config": {"signal": "go"}}, "last": DO}))
    handle = await life.client.start("awaited", {"n": 1})
    waiting = asyncio.create_task(handle.result(60))
    yield None
    await life.waits(handle.id)
    yield None
    await life.client.signal(handle.id, "go", "said")
    yield None
    result = await waiting
    assert result.status == "completed" and result.output["response"] == "said"
    assert life.executed()["last"] == 1


def test_nothing_was_executed_again_once_its_end_was_on_disk(stage: Stage) -> None:
    for life in stage.lives.values():
        assert life.executed_in_vain() == []


def test_every_run_begins_once_ends_once_and_its_journal_is_what_was_written(stage: Stage) -> None:
    assert {verdict.run: verdict.flaw for verdict in stage.verdicts if not verdict.sound} == {}
    for one in stage.lives.values():
        for run in (run for run in one.runs if one.log.summary(run) is not None):
            kinds = Counter(one.kinds(run))
            ends = {encode(part.summary) for part in one.log.parts[run] if part.summary is not None}
            assert (kinds["RunStarted"], len(ends)) == (1, 1 + kinds["RunReopened"]), run


def test_the_fleet_was_killed_between_the_steps(stage: Stage) -> None:
    dead = {NOTHING: set[str](), WORKER_TOO: {"coordinator", "worker"}}.get(stage.kills, {"coordinator"})
    assert set(stage.deaths) == dead
