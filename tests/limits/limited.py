"""Fleets with limits: a flow whose one node writes into the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.engine.gate import Gate

from ..fleet.fleets import Fleet, fleet, flow
from ..fleet.worker_processes import worker
from .ledger import Ledger

NODES = str(Path(__file__).with_name("limit_nodes.py"))


def limited(name: str, settings: Mapping[str, Any] | None = None, **node: Any) -> dict[str, Any]:
    """A flow of one node that works as its event says."""
    return flow(name, {"work": {"type": "l.work"} | node}, settings={"max_concurrent_executions": 1_000} | dict(settings or {}))


class Limited:
    """A fleet and its ledger. `release`: the file that the nodes wait for that were told so."""

    def __init__(self, one: Fleet, folder: Path) -> None:
        self.fleet, self.client, self.log = one, one.client, one.log
        self.ledger = Ledger(folder)
        self.release = folder / "release"

    async def deploy(self, *flows: Mapping[str, Any]) -> None:
        for each in flows:
            await self.client.deploy(each, nodes=[NODES])

    async def send(self, flow: str, n: int, key: str = "", *, held: bool = False, **more: Any) -> str:
        """Start a run. `held`: its node works until `release` is there."""
        event = {"n": n, "key": key, "log": str(self.ledger.path)} | ({"until": str(self.release)} if held else {}) | more
        return await self.client.send(flow, event, id=f"{key}-{n}")

    def gates(self) -> dict[str, Gate]:
        """Those in the coordinators of this loop."""
        partitions = [owner.partition for one in self.fleet.coordinators for owner in one.owners.values() if owner.partition is not None]
        return {gate.id: gate for partition in partitions for gate in partition.gates}

    def waiting(self, limit: str) -> int:
        gate = self.gates().get(limit)
        return 0 if gate is None else gate.waiting

    def held(self, limit: str) -> int:
        gate = self.gates().get(limit)
        return 0 if gate is None else gate.held


@asynccontextmanager
async def limited_fleet(url: str, folder: Path, **options: Any) -> AsyncIterator[Limited]:
    async with fleet(url, folder, workers=0, **options) as one, worker(url, folder / "worker", nodes=NODES, concurrency=200):
        yield Limited(one, folder)
