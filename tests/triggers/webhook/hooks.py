"""Webhooks that are served: a fleet, a flow for each set of triggers, and a process's worth of sources in the loop of the test.

Listeners take a free port, whatever the flows say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.api import Client
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import BatchedEvent, decode, split
from jetfleet.schemas.payload import decode as value_of
from jetfleet.triggers import Triggers
from jetfleet.triggers.webhook.source import WebhookSource

from ...fleet.fleets import NODES, Fleet, fleet
from .calling import Address


def flow(name: str, node: str = "f.echo", *, inputs: Any = None, **triggers: dict[str, Any]) -> dict[str, Any]:
    """A flow with webhooks: their params by id."""
    return {
        "name": name,
        "triggers": [{"id": id, "type": "webhook", "params": params} for id, params in triggers.items()],
        "nodes": {"seen": {"type": node}},
        "edges": [{"from": id, "to": "seen"} for id in triggers],
    } | ({} if inputs is None else {"inputs": inputs})


class Hooks:
    """`address`: of the listener that all share."""

    def __init__(self, fleet: Fleet, triggers: Triggers) -> None:
        self.fleet, self.triggers = fleet, triggers
        self.address: Address = ("", 0)

    @property
    def client(self) -> Client:
        return self.fleet.client

    async def deploy(self, *flows: dict[str, Any]) -> None:
        """Returns when all of their webhooks are listened to."""
        for each in flows:
            await self.client.deploy(each, nodes=[NODES])
        for each in flows:
            for trigger in each["triggers"]:
                self.address = await (await self.source(each["name"], trigger["id"])).listening()

    async def source(self, flow: str, trigger: str) -> WebhookSource:
        source = await self.triggers.source(flow, trigger)
        assert isinstance(source, WebhookSource)
        return source

    async def events(self, flow: str = "*") -> list[BatchedEvent]:
        """All that are on disk and wait for a coordinator."""
        found = self.client.connection.streams.read(subjects.EVENTS, subject=f"events.{flow}.*")
        return [decode(BatchedEvent, bytes(entry)) async for message in found for entry in split(message.data)]

    async def payloads(self, flow: str = "*") -> list[Any]:
        return [value_of(event.payload) for event in await self.events(flow)]

    async def metas(self, flow: str = "*") -> list[Any]:
        return [value_of(event.meta) for event in await self.events(flow)]


@asynccontextmanager
async def hooks(url: str, folder: Path, *flows: dict[str, Any], runs: bool = False) -> AsyncIterator[Hooks]:
    """`runs`: with a coordinator and a worker; without, events stay where they can be counted."""
    async with (
        fleet(url, folder, coordinators=int(runs), workers=int(runs)) as one,
        Triggers(one.client, types=("webhook",), data=folder) as triggers,
    ):
        found = Hooks(one, triggers)
        await found.deploy(*flows)
        yield found
