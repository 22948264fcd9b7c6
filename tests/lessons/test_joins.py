"""Lessons on what follows what: joins behind dead ways, fast and slow branches, races, rounds, and the values that arrive."""

from __future__ import annotations

from typing import Any

import pytest

from jetfleet.schemas.errors import JetfleetError
from jetfleet.schemas.payload import NULL, decode
from jetfleet.schemas.records import Completion, PauseRequested

from ..fleet.fleets import flow
from .killing import Steps, lesson
from .lives import Life

DO = {"type": "k.do"}


def gated(gate: str, **config: Any) -> dict[str, Any]:
    return {"type": "k.do", "config": {"gate": gate, **config}}


@lesson
async def test_what_follows_a_fast_branch_does_not_wait_for_a_slow_one(life: Life) -> Steps:
    nodes = {"begin": DO, "fast": DO, "after": DO, "slow": gated("gate"), "end": {"type": "std::merge"}}
    await life.deploy(flow("paces", nodes, ["begin -> fast", "begin -> slow", "fast -> after", "after -> end", "slow -> end"]))
    id = await life.send("paces", 1)
    await life.at_work("slow")
    await life.completed(id, 3)
    yield None
    assert {key: view.status for key, view in (await life.shown(id)).nodes().items()}["slow"] == "running"
    life.open("gate")
    yield None
    assert await life.output(id) == {"after": 1, "slow": 1}
    assert life.executed()["after"] == 1


@lesson
async def test_a_way_that_is_not_taken_is_skipped_and_the_join_behind_it_goes_on(life: Life) -> Steps:
    risky = {"type": "std::switch", "config": {"condition": {"type": "greater_than", "field": "risk", "value": 0.8}}}
    nodes = {
        "validate": DO,
        "risky": risky,
        "flag": gated("gate"),
        "normal": gated("gate"),
        "more": DO,
        "join": {"type": "std::merge"},
        "last": DO,
    }
    ways = [
        "validate -> risky",
        "risky.true -> flag",
        "flag -> more",
        "more -> join",
        "risky.false -> normal",
        "normal -> join",
        "join -> last",
    ]
    await life.deploy(flow("risks", nodes, ways))
    low, high = [await life.send("risks", {"risk": risk}) for risk in (0.8, 0.95)]
    await life.at_work("normal")
    await life.at_work("flag")
    yield None
    life.open("gate")
    yield None
    assert set(await life.output(low)) == {"normal"} and set(await life.output(high)) == {"more"}
    statuses = {key: view.status for key, view in (await life.shown(low)).nodes().items()}
    assert statuses == dict.fromkeys(nodes, "completed") | {"flag": "skipped", "more": "skipped"}
    assert life.executed()["last"] == 2


@lesson
async def test_the_first_branch_decides_a_race_and_the_others_are_cancelled(life: Life) -> Steps:
    race = {"type": "parallel", "nodes": ["b", "a", "c"], "completion": "any"}
    nodes = {"b": gated("gate", gives="b"), "a": gated("never"), "c": gated("never"), "end": DO}
    await life.deploy(race_of("race-any", race, nodes))
    id = await life.send("race-any", 1)
    for node in "abc":
        await life.at_work(node)
    yield None
    life.open("gate")
    yield None
    assert await life.output(id) == {"b": "b"}
    statuses = {key: view.status for key, view in (await life.shown(id)).nodes().items() if key in ("a", "b", "c")}
    assert statuses == {"a": "cancelled", "b": "completed", "c": "cancelled"}
    if not life.worker_dies:
        await life.cancelled("a")
        await life.cancelled("c")


@lesson
async def test_two_of_three_branches_are_enough_if_two_are_asked_for(life: Life) -> Steps:
    race = {"type": "parallel", "nodes": ["x", "z", "y"], "completion": {"at_least": 2}}
    nodes = {"x": gated("one", gives="x"), "z": gated("two", gives="z"), "y": gated("never"), "end": DO}
    await life.deploy(race_of("race-two", race, nodes))
    id = await life.send("race-two", 1)
    for node in "xyz":
        await life.at_work(node)
    life.open("one")
    await life.completed(id, 1)
    yield None
    life.open("two")
    yield None
    assert await life.output(id) == {"x": "x", "z": "z"}
    assert (await life.shown(id)).nodes()["y"].status == "cancelled"
    assert life.executed()["x"] == 1


def race_of(name: str, race: dict[str, Any], nodes: dict[str, Any]) -> dict[str, Any]:
    """A flow whose node `begin` leads to all branches of the race, and what comes of it to `end`."""
    return flow(name, {"begin": DO, **nodes}, [*(f"begin -> {branch}" for branch in race["nodes"]), "race -> end"], scopes={"race": race})


@lesson
async def test_zero_nothing_and_false_arrive_as_they_are(life: Life) -> Steps:
    nodes = {
        "first": DO,
        "wait": {"type": "std::delay", "config": {"duration_ms": 300}},
        "map": {"type": "std::set", "config": {"values": "${first}"}},
        "last": DO,
    }
    await life.deploy(flow("falsy", nodes))
    values = (0, "", False, None, [], {})
    runs = [await life.send("falsy", value) for value in values]
    for id in runs:
        await life.completed(id, 1)
    yield None
    for id, value in zip(runs, values, strict=True):
        said = await life.output(id)
        assert (type(said), said) == (type(value), value)


@lesson
async def test_constants_and_what_other_nodes_gave_reach_a_node_and_the_outputs_are_filled(life: Life) -> Steps:
    config = {"gives": {"level": "high", "order": "${go.id}", "price": "${price.amount}", "rate": "${pipeline.config.rate}"}}
    nodes = {
        "price": {"type": "k.do", "config": {"gives": {"amount": 12}}},
        "pause": {"type": "std::delay", "config": {"duration_ms": 300}},
    }
    outputs = {"level": "${use.level}", "sum": "${price.amount}", "text": "order ${go.id}"}
    await life.deploy(flow("mapped", nodes | {"use": {"type": "k.do", "config": config}}, config={"rate": 1.5}, outputs=outputs))
    id = await life.send("mapped", {"id": 7})
    await life.completed(id, 1)
    yield None
    assert await life.output(id) == {"level": "high", "sum": 12, "text": "order 7"}
    assert decode((await life.shown(id)).nodes()["use"].output or NULL) == {"level": "high", "order": 7, "price": 12, "rate": 1.5}
    assert life.executed() == {"price": 1, "use": 1}


@lesson
async def test_each_round_of_a_loop_runs_once_and_then_its_exit(life: Life) -> Steps:
    nodes = {
        "loop": {"type": "std::loop", "config": {"max_iterations": 4}},
        "body": DO,
        "wait": {"type": "std::wait", "config": {"signal": "on"}},
        "exit": DO,
    }
    await life.deploy(flow("rounds", nodes, ["loop.continue -> body", "body -> wait", "wait -> loop", "loop.exit -> exit"]))
    id = await life.send("rounds", 1)
    for round in range(4):
        await life.completed(id, round + 1)
        await life.client.signal(id, "on", round, id=f"s{round}")
        yield None
    await life.output(id)
    assert life.executed() == {"body": 4, "exit": 1}
    assert list(dict.fromkeys(record.activation[1:] for record in life.log.of(id, Completion))) == [(0,), (1,), (2,), (3,), ()]


@lesson
async def test_what_makes_no_sense_is_refused_when_it_is_deployed_and_what_was_there_goes_on(life: Life) -> Steps:
    await life.deploy(flow("sound", {"first": DO, "wait": {"type": "std::wait", "config": {"signal": "go"}}, "last": DO}))
    id = await life.send("sound", 1)
    await life.waits(id)
    nodes: dict[str, Any] = {"first": DO, "second": DO}
    refused = [
        (flow("sound", nodes, ["first -> nobody"]), "nobody"),
        (flow("sound", {"first": {"type": "k.unknown"}}), "k.unknown"),
        (flow("sound", nodes, ["first -> second", "second -> first"]), "first"),
        (flow("sound", nodes) | {"triggers": [{"id": "go", "type": "manual"}, {"id": "go", "type": "manual"}]}, "go"),
    ]
    for definition, named in refused:
        with pytest.raises(JetfleetError, match=named):
            await life.deploy(definition)
    yield None
    await life.client.signal(id, "go", "on")
    assert (await life.output(id))["response"] == "on"
    later = await life.send("sound", 2)
    await life.waits(later)
    yield None
    await life.client.signal(later, "go", "on")
    assert (await life.output(later))["input"] == 2
    assert life.executed() == {"first": 2, "last": 2}


@lesson
async def test_of_several_triggers_only_the_one_that_fired_leads_on(life: Life) -> Steps:
    names = ("shop", "phone", "mail")
    definition = {
        "name": "several-triggers",
        "triggers": [{"id": name, "type": "manual"} for name in names],
        "nodes": {"by-phone": DO, "all": DO},
        "edges": [*({"from": name, "to": "all"} for name in names), {"from": "phone", "to": "by-phone"}, {"from": "by-phone", "to": "all"}],
    }
    await life.deploy(definition)
    yield None
    runs = {name: await life.send("several-triggers", name, trigger=name) for name in names}
    yield None
    said = {name: await life.output(id) for name, id in runs.items()}
    assert said == {"shop": "shop", "phone": {"phone": "phone", "by-phone": "phone"}, "mail": "mail"}
    assert life.executed() == {"all": 3, "by-phone": 1}


@lesson
async def test_a_paused_run_takes_in_what_is_under_way_and_begins_nothing_new(life: Life) -> Steps:
    await life.deploy(flow("paused", {"under-way": gated("gate"), "after": DO}))
    id = await life.send("paused", 1)
    await life.at_work("under-way")
    await life.client.pause(id)
    await life.recorded(id, PauseRequested)
    life.open("gate")
    yield None
    await life.completed(id, 1)
    yield None
    view = await life.waits(id, 1, "paused")
    assert view.status == "paused" and life.executed()["after"] == 0
    await life.client.resume(id)
    yield None
    assert await life.output(id) == 1
    assert life.executed()["after"] == 1
