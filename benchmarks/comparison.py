"""A fleet beside the bare pipeline: the same load on both in turns, so that what the machine does meanwhile happens to both."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .bare import BarePipeline
from .fleet import Fleet
from .load import Load
from .shapes import event_of, nodes_of

Loading: TypeAlias = Callable[[int, int], Awaitable[Load]]
"""`(runs, concurrency)`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured: the shape on the bare pipeline and the flow of the same shape; how many runs at a time, and how often."""

    shape: str
    size: int
    flow: Mapping[str, Any]
    warm_up: tuple[int, int]
    crowd: tuple[int, int]
    alone: int
    rounds: int


async def compare(plan: Plan) -> dict[str, Any]:
    """The fleet's figures, medians over the rounds, with the ceiling's of the same rounds."""
    async with BarePipeline(plan.shape, plan.size) as bare, Fleet() as fleet:
        await fleet.deploy(plan.flow)

        def on_the_fleet(runs: int, concurrency: int) -> Awaitable[Load]:
            return fleet.load(plan.flow["name"], event_of(plan.shape, plan.size), nodes_of(plan.shape, plan.size), runs, concurrency)

        targets: tuple[Loading, Loading] = (on_the_fleet, bare.load)
        for target in targets:
            await target(*plan.warm_up)
        crowds, singles = await _rounds(plan, targets)
        return _figures(crowds, singles) | {"fsync": True, "rss_mib": fleet.rss_mib()}


async def _rounds(plan: Plan, targets: Sequence[Loading]) -> tuple[list[list[Load]], list[list[Load]]]:
    """Per target, the loads of all rounds: many runs at a time, and one at a time."""
    crowds: list[list[Load]] = [[] for _ in targets]
    singles: list[list[Load]] = [[] for _ in targets]
    for _ in range(plan.rounds):
        for number, target in enumerate(targets):
            crowds[number].append(await target(*plan.crowd))
        for number, target in enumerate(targets):
            singles[number].append(await target(plan.alone, 1))
    return crowds, singles


def _figures(crowds: list[list[Load]], singles: list[list[Load]]) -> dict[str, Any]:
    nodes_per_s, ceiling_nodes_per_s = (round(statistics.median(load.nodes_per_s for load in loads)) for loads in crowds)
    p50_ms, ceiling_p50_ms = (round(statistics.median(load.p50_ms for load in loads), 2) for loads in singles)
    return {
        "nodes_per_s": nodes_per_s,
        "runs_per_s": round(statistics.median(load.runs_per_s for load in crowds[0])),
        "p50_ms": p50_ms,
        "p99_ms": round(statistics.median(load.p99_ms for load in singles[0]), 2),
        "ceiling_nodes_per_s": ceiling_nodes_per_s,
        "ceiling_p50_ms": ceiling_p50_ms,
        "ratio": round(nodes_per_s / ceiling_nodes_per_s, 3),
        "p50_ratio": round(p50_ms / ceiling_p50_ms, 2),
    }
