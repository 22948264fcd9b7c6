"""The stage of the conformance suite: a world outside, flows that listen to it, and the runs that came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jetfleet.schemas.records import RunStarted
from jetfleet.triggers import Triggers

from ...fleet.fleets import NODES, Fleet
from .outside import Outside
from .worlds import WORLDS

DEADLINE_S = 60
every_world = pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.__name__)


def flow(name: str, outside: Outside, **blocks: Any) -> dict[str, Any]:
    trigger = {"id": "in", "type": outside.type, "params": outside.params()}
    other = {"id": "other", "type": "manual"}
    nodes = {"seen": {"type": "f.echo", "config": {"meta": "${trigger.meta}"}}, "never": {"type": "f.echo"}}
    edges = [{"from": "in", "to": "seen"}, {"from": "other", "to": "never"}]
    return {"name": name, "triggers": [trigger, other], "nodes": nodes, "edges": edges} | blocks


@asynccontextmanager
async def served(one: Fleet, outside: Outside, *flows: dict[str, Any], folder: str = "triggers") -> AsyncIterator[Triggers]:
    """The flows deployed, and their triggers of the world's type served, for as long as it is needed."""
    for coordinator in one.coordinators:  # they serve some types themselves
        await coordinator.triggers.stop()
    for each in flows:
        await one.client.deploy(each, nodes=[NODES])
    async with Triggers(one.client, types=(outside.type,), data=one.folder / folder) as triggers:
        outside.triggers = triggers
        await triggers.source("first", "in")
        yield triggers


@asynccontextmanager
async def world_of(world: type[Outside], one: Fleet) -> AsyncIterator[Outside]:
    outside = world(one.folder, one.client)
    await outside.open()
    try:
        yield outside
    finally:
        await outside.close()


def started(one: Fleet, name: str = "first") -> list[RunStarted]:
    """The first record of each run of a flow."""
    firsts = [[record for record in records if isinstance(record, RunStarted)] for records in one.log.records.values()]
    return [records[0] for records in firsts if records and records[0].flow == name]


def numbers(one: Fleet, outside: Outside, name: str = "first") -> Counter[int]:
    return Counter(outside.number(record) for record in started(one, name))


async def all_run(one: Fleet, outside: Outside, wanted: Iterable[int], name: str = "first") -> None:
    """Each of these became one run, and nothing else did."""
    wanted = set(wanted)
    await one.log.until(lambda: set(numbers(one, outside, name)) >= wanted, f"runs of {name}", DEADLINE_S)
    await one.quiet()
    assert numbers(one, outside, name) == Counter(dict.fromkeys(wanted, 1))
