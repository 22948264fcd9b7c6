"""Cron triggers of a fleet, and what comes of them: the times that became runs, as the log of the fleet tells."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from jetfleet.broker.coordinator.coordinator import Coordinator
from jetfleet.broker.triggers.cron.chain import Chain, Link
from jetfleet.broker.triggers.cron.source import CronSource
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted

from ...fleet.fleets import NODES, Fleet

EVERY_SECOND = "* * * * * *"
FAR = "0 0 1 1 *"
"""So far away that the server fires nothing of it: the ticks come from the test."""
SECOND = timedelta(seconds=1)
FLOW, TRIGGER = "sweep", "tick"


def flow(schedule: str, node: Mapping[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    return {
        "name": FLOW,
        "triggers": [{"id": TRIGGER, "type": "cron", "params": {"schedule": schedule, **params}}],
        "nodes": {"seen": dict(node or {"type": "f.echo"})},
        "edges": [{"from": TRIGGER, "to": "seen"}],
    }


async def deploy(one: Fleet, schedule: str, node: Mapping[str, Any] | None = None, **params: Any) -> None:
    await one.client.deploy(flow(schedule, node, **params), nodes=[NODES])


def chain(one: Fleet) -> Chain:
    return Chain(one.client.connection, FLOW, TRIGGER)


async def scheduled(one: Fleet) -> Link:
    """The link of the chain, once there is one."""
    while True:
        link = await chain(one).link()
        if link.tick is not None:
            return link


async def source(coordinator: Coordinator) -> CronSource:
    found = await coordinator.triggers._triggers.source(FLOW, TRIGGER)
    assert isinstance(found, CronSource)
    return found


def runs(one: Fleet) -> list[RunStarted]:
    """The first record of each run, by their scheduled times."""
    firsts = [next((each for each in records if isinstance(each, RunStarted)), None) for records in one.log.records.values()]
    return sorted((each for each in firsts if each is not None), key=scheduled_at)


def scheduled_at(started: RunStarted) -> datetime:
    return datetime.fromisoformat(decode(started.payload)["scheduled_at"])


def times(one: Fleet) -> list[datetime]:
    return [scheduled_at(each) for each in runs(one)]


async def many(one: Fleet, count: int) -> list[datetime]:
    """The times of the runs, when there are so many."""
    await one.log.until(lambda: len(times(one)) >= count, f"{count} runs", 30)
    return times(one)


def without_a_gap(found: list[datetime]) -> bool:
    return found == [found[0] + n * SECOND for n in range(len(found))]
