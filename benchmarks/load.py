"""A load: so many runs, so many of them at a time, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Load:
    """How a load went. `latencies_ms`: from just before a run's event is published until its end is known, ascending."""

    runs: int
    nodes: int
    seconds: float
    latencies_ms: list[float]

    @property
    def runs_per_s(self) -> int:
        return round(self.runs / self.seconds)

    @property
    def nodes_per_s(self) -> int:
        return round(self.nodes / self.seconds)

    @property
    def p50_ms(self) -> float:
        return percentile(self.latencies_ms, 0.5)

    @property
    def p99_ms(self) -> float:
        return percentile(self.latencies_ms, 0.99)


def percentile(ascending: Sequence[float], share: float) -> float:
    """One of the values, rounded to hundredths."""
    return round(ascending[min(int(len(ascending) * share), len(ascending) - 1)], 2)


async def drive(one: Callable[[int], Awaitable[None]], runs: int, concurrency: int, nodes_per_run: int) -> Load:
    """Await `one(number)` for every run, at most `concurrency` of them at any time."""
    numbers = iter(range(runs))
    latencies: list[float] = []

    async def one_after_the_other() -> None:
        for number in numbers:
            began = time.perf_counter()
            await one(number)
            latencies.append((time.perf_counter() - began) * 1e3)

    started = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(min(concurrency, runs))))
    return Load(runs, runs * nodes_per_run, time.perf_counter() - started, sorted(latencies))
