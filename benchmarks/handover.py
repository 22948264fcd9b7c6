"""The hand-over of a value: from when the completion of the node that made it is stored until the next node's function holds it.

Two workers, each with a queue of its own, so that what one makes the other holds. The first moment is the server's, when it takes the
message with the completion in, before it writes it to disk; the second is the first line of the consumer's function. Both are read from
the wall clock of the same machine. Between them lie the disk, the coordinator's decision, the task on its way, and the mapping of the
value; not the writing of the value into the arena, which comes before.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .fleet import UNLIMITED, Fleet
from .observer import Observer
from .payload_nodes import numbers
from .processes import BenchmarkFailed, Process

NODES = "benchmarks/payload_nodes.py"
KINDS = ("bytes", "float64")
MADE, HELD = "made", "held"
"""The queues: of the worker that makes values, and of the one that holds them."""
PRODUCER = "0"
"""The activation of the flow's first node."""
RUN_S = 120


def flow(name: str, make: str, hold: str, durability: str = "host") -> dict[str, Any]:
    nodes = {"make": {"type": f"payload.{make}", "queue": MADE}, "hold": {"type": f"payload.{hold}", "queue": HELD}}
    edges = [{"from": "make", "to": "hold"}]
    return {"name": name, "nodes": nodes, "edges": edges, "settings": UNLIMITED, "payloads": {"durability": durability}}


def arena_options(folder: Path, max_bytes: int) -> Sequence[str]:
    return ("--arena", str(folder), "--arena-max", str(max_bytes))


@dataclass(slots=True)
class Pair:
    """A fleet with a worker that makes values and one that holds them."""

    fleet: Fleet
    observer: Observer
    maker: Process
    holder: Process
    _seeds: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    async def hand_over(self, flow: str, size: int) -> float:
        """One run; the hand-over in ms. Raises BenchmarkFailed if the run does not complete, or other bytes arrive than were sent."""
        return await self.fleet.watch_over(self._hand_over(flow, size), RUN_S)

    async def _hand_over(self, flow: str, size: int) -> float:
        seed = next(self._seeds)
        result = await self.fleet.client.run(flow, {"bytes": size, "seed": seed})
        if not result.completed:
            raise BenchmarkFailed(f"run {result.run_id} of the flow {flow} is {result.status}: {result.error}")
        expected = await asyncio.to_thread(_sum, size, seed)
        if not math.isclose(result.output["sum"], expected, rel_tol=1e-9):
            raise BenchmarkFailed(f"run {result.run_id}: the sum of what arrived is {result.output['sum']}, not {expected}")
        stored_ns = await self.observer.on_disk((result.run_id, PRODUCER))
        return (int(result.output["held_ns"]) - stored_ns) / 1e6


@asynccontextmanager
async def pair(fleet: Fleet, flows: Sequence[dict[str, Any]], maker: Process, holder: Process) -> AsyncIterator[Pair]:
    """The workers have been started; here they have come up, the flows are deployed, and somebody watches the log."""
    for each in flows:
        await fleet.deploy(each, NODES)
    async with Observer(fleet.client) as observer:
        for process in (maker, holder):
            await fleet.watch_over(observer.member(process.pid), RUN_S)
        yield Pair(fleet, observer, maker, holder)


def _sum(size: int, seed: int) -> float:
    return float(numbers(size, seed).sum())
