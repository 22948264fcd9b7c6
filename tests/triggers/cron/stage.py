"""Cron triggers of a fleet, and what comes of them: the times that became runs, as the log of the fleet tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from jetfleet.broker.coordinator.coordinator import Coordinator
from jetfleet.broker.triggers.cron.chain import Chain, Link
from jetfleet.broker.triggers.cron.schedule import Times
from jetfleet.broker.triggers.cron.source import CronSource
from jetfleet.broker.triggers.cron.tick import Tick, milliseconds
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.flow.triggers.cron import CronParams
from jetfleet.schemas.payload import decode
from jetfleet.schemas.records import RunStarted

from ...fleet.fleets import NODES, Fleet

EVERY_SECOND = "* * * * * *"
FAR = "0 0 1 1 *"
"""So far away that the server fires nothing of it: the ticks come from the test."""
SECOND = timedelta(seconds=1)
TRIGGER = "tick"


class Sweep:
    """A flow of a fleet with one cron trigger, and what comes of it."""

    def __init__(self, one: Fleet, name: str = "sweep") -> None:
        self.one, self.name = one, name
        self.chain = Chain(one.client.connection, name, TRIGGER)

    async def deploy(self, schedule: str, node: Mapping[str, Any] | None = None, **params: Any) -> None:
        flow = {
            "name": self.name,
            "triggers": [{"id": TRIGGER, "type": "cron", "params": {"schedule": schedule, **params}}],
            "nodes": {"seen": dict(node or {"type": "f.echo"})},
            "edges": [{"from": TRIGGER, "to": "seen"}],
        }
        await self.one.client.deploy(flow, nodes=[NODES])

    async def feed(self, at: datetime, **params: Any) -> None:
        """A tick, as the server sends it when its clock comes to a time."""
        tick = Tick(milliseconds(at), Times(CronParams.model_validate(params)).identity)
        await self.one.client.connection.publisher.publish(subjects.tick(self.name, TRIGGER), messages.encode(tick))

    async def scheduled(self) -> Link:
        """The link of the chain, once there is one."""
        while (link := await self.chain.link()).tick is None:
            await asyncio.sleep(0.02)
        return link

    async def waiting(self, condition: Callable[[Tick], bool]) -> Tick:
        """The tick that has fired and becomes no run yet, once it is such a one."""
        while (tick := (await self.chain.fired()).tick) is None or not condition(tick):
            await asyncio.sleep(0.02)
        return tick

    async def source(self, coordinator: Coordinator) -> CronSource:
        found = await coordinator.triggers._triggers.source(self.name, TRIGGER)
        assert isinstance(found, CronSource)
        return found

    def runs(self) -> list[RunStarted]:
        """The first record of each run, by their scheduled times."""
        firsts = [next((each for each in records if isinstance(each, RunStarted)), None) for records in self.one.log.records.values()]
        return sorted((each for each in firsts if each is not None and each.flow == self.name), key=scheduled_at)

    def times(self) -> list[datetime]:
        return [scheduled_at(each) for each in self.runs()]

    async def many(self, count: int) -> list[datetime]:
        """The times of the runs, when there are so many."""
        await self.one.log.until(lambda: len(self.times()) >= count, f"{count} runs of {self.name}", 30)
        return self.times()


def scheduled_at(started: RunStarted) -> datetime:
    return datetime.fromisoformat(decode(started.payload)["scheduled_at"])


def without_a_gap(found: list[datetime]) -> bool:
    return found == [found[0] + n * SECOND for n in range(len(found))]
