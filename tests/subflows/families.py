"""Flows that call one another, and a fleet with a reader that knows their families."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.read_model.reader import Reader
from jetfleet.schemas.records import RunStarted

from ..fleet.fleets import Fleet, chain, fleet, flow

LEAF = chain("leaf", "f.gated")
MIDDLE = flow("middle", {"call": {"type": "std::subflow", "config": {"flow": "leaf"}}})
TOP = flow("top", {"call": {"type": "std::subflow", "config": {"flow": "middle"}}})
EACH = {
    "name": "each",
    "triggers": [{"id": "go", "type": "manual"}],
    "nodes": {
        "split": {"type": "std::split", "config": {"field": "items", "mode": "parallel", "max_parallel": 50}},
        "call": {"type": "std::subflow", "config": {"flow": "leaf"}},
    },
    "edges": [{"from": "go", "to": "split"}, {"from": "split.item", "to": "call"}],
}
"""One sub-flow per item, all at once."""


def call(child: str, **config: Any) -> dict[str, Any]:
    return {"type": "std::subflow", "config": {"flow": child, **config}}


@asynccontextmanager
async def family_fleet(url: str, folder: Path, *, coordinators: int = 1, partitions: int = 4) -> AsyncIterator[tuple[Fleet, Reader]]:
    """A fleet, and a reader that follows it."""
    async with fleet(url, folder, partitions=partitions, coordinators=coordinators) as one:
        await one.shared()
        reader = Reader(one.client.connection, partitions, folder / "reader")
        await reader.start()
        try:
            yield one, reader
        finally:
            await reader.stop()


def children(one: Fleet, parent: str) -> list[str]:
    """The runs that the run started, as the log has them."""
    started = {id: one.log.of(id, RunStarted) for id in one.log.begun}
    return sorted(id for id, starts in started.items() if starts[0].parent is not None and starts[0].parent[0] == parent)


async def begun(one: Fleet, *ids: str) -> None:
    await one.log.until(lambda: set(ids) <= one.log.begun, f"that these begin: {ids}")
