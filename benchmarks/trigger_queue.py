"""Two triggers under load: `queue`, whose messages another process sends and a coordinator takes, and `memory`, fired in this process.

    measured = await measure_queue(1.0)      # {"events_per_s": …, "p50_ms": …, "p99_ms": …}

`events_per_s`: messages that have become events on disk, from the first one sent until all are, with WINDOW of them under way at a time.
`p50_ms`, `p99_ms`: from the call that sends one, with nothing else going on, until its RunStarted is on disk and read back here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from jetfleet.schemas import subjects
from jetfleet.triggers import Triggers, inject

from .fleet import LOAD_S, UNLIMITED, Fleet
from .observer import Observer

EVENTS, ALONE = 20_000, 200
WINDOW = 256
Send = Callable[[int], Awaitable[object]]
"""Sends the message with this number; returns when it is on disk."""


def flow(type: str, params: dict[str, Any]) -> dict[str, Any]:
    """A flow that does next to nothing, started by one trigger."""
    trigger = {"id": "in", "type": type, "params": params}
    return {
        "name": "taken", "triggers": [trigger], "nodes": {"n0": {"type": "bench.inline"}}, "edges": [{"from": "in", "to": "n0"}],
        "settings": UNLIMITED,
    }  # fmt: skip


async def measure_queue(scale: float = 1.0) -> dict[str, float]:
    """A queue on a fleet of one coordinator and one worker. Raises BenchmarkFailed."""
    async with Fleet() as fleet:
        await fleet.deploy(flow("queue", {"name": "orders", "capacity": 1_000_000}))
        queue = fleet.client.queue("orders")

        async def empty() -> None:
            while await queue.depth():
                await asyncio.sleep(0.005)

        await queue.send({"n": -1})
        await fleet.watch_over(empty(), LOAD_S)
        return await fleet.watch_over(_measured(fleet, lambda n: queue.send({"n": n}, id=f"m{n}"), empty, scale), LOAD_S)


async def measure_memory(scale: float = 1.0) -> dict[str, float]:
    """A memory trigger that this process serves, on a fleet of one coordinator and one worker. Raises BenchmarkFailed."""
    async with Fleet() as fleet, AsyncExitStack() as stack:
        await fleet.deploy(flow("memory", {}))
        triggers = await stack.enter_async_context(Triggers(fleet.client, types=("memory",), data=fleet.folder))

        async def nothing() -> None:
            """A call returns when its event is on disk."""

        return await fleet.watch_over(
            _measured(fleet, lambda n: inject(triggers, "taken", "in", {"n": n}, key=f"m{n}"), nothing, scale), LOAD_S
        )


async def _measured(fleet: Fleet, send: Send, taken: Callable[[], Awaitable[None]], scale: float) -> dict[str, float]:
    latencies_ms = await _alone(fleet, send, max(20, int(ALONE * scale)))
    numbers = iter(range(10**6, 10**6 + max(500, int(EVENTS * scale))))
    count = 0

    async def sender() -> None:
        nonlocal count
        for number in numbers:
            await send(number)
            count += 1

    began = time.perf_counter()
    await asyncio.gather(*(sender() for _ in range(WINDOW)))
    await taken()
    seconds = time.perf_counter() - began
    return {"events_per_s": round(count / seconds), "p50_ms": _at(latencies_ms, 0.5), "p99_ms": _at(latencies_ms, 0.99)}


async def _alone(fleet: Fleet, send: Send, count: int) -> list[float]:
    """How long each of so many took, one after the other, in ascending order."""
    found: list[float] = []
    async with Observer(fleet.client) as observer:
        for number in range(count + 1):
            began = time.perf_counter()
            await send(number)
            run = subjects.run_id("taken", f"in/m{number}")
            while run not in observer.begun:
                await observer.started(len(observer.begun) + 1)
            found.append((time.perf_counter() - began) * 1e3)
    return sorted(found[1:])  # the first one waits until the coordinator has its partitions


def _at(ascending: list[float], share: float) -> float:
    return round(ascending[min(int(len(ascending) * share), len(ascending) - 1)], 2)
