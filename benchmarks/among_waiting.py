"""Very many runs that wait for a signal: their memory, whether others get slower, how long a coordinator takes to start among them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from jetfleet.schemas.subjects import partition_of, run_id

from .fleet import Fleet, chain
from .load import drive
from .observer import Observer

SENDERS = 1_000
SIGNAL = "go"
START_S_PER_RUN = 0.01
RESTART_S = 120
SAY_S = 10
"""Coordinators say every few seconds at least how many runs they hold."""
WAIT = chain("waiting", "bench.inline", "std::wait", "bench.inline", config={"n1": {"signal": SIGNAL}})
CHAIN = chain("chain", "bench.inline", "bench.inline", "bench.inline")


async def measure(count: int, scale: float) -> dict[str, Any]:
    """The figures with `count` waiting runs; `scale` is that of the throughput measured beside them."""
    async with Fleet() as fleet:
        await fleet.deploy(WAIT)
        await fleet.deploy(CHAIN)
        await _throughput(fleet, scale)
        alone = await _throughput(fleet, scale)
        memory = fleet.rss_mib()
        async with Observer(fleet.client) as observer:
            starts_per_s = await _begin(fleet, observer, count)
            grown = fleet.rss_mib()
            beside = await _throughput(fleet, scale)
            restart_s = await fleet.watch_over(_restart(fleet, count), RESTART_S)
            lost = await _missing(observer, fleet.coordinators[0].pid, count - fleet.client.partitions)
        return {
            "waiting_runs": count,
            "starts_per_s": starts_per_s,
            "nodes_per_s_alone": alone,
            "nodes_per_s_beside": beside,
            "coordinator_bytes_per_run": round((grown["coordinator-1"] - memory["coordinator-1"]) * 2**20 / count),
            "restart_s": restart_s,
            "lost": lost,
            "nodes_per_s_after_restart": await _throughput(fleet, scale),
            "rss_mib": grown,
        }


async def _throughput(fleet: Fleet, scale: float) -> int:
    return (await fleet.load("chain", {"n": 0}, 3, int(20_000 * scale), 2_000)).nodes_per_s


async def _begin(fleet: Fleet, observer: Observer, count: int) -> int:
    """Start the runs and wait until the coordinator holds them; starts per second."""

    async def one(number: int) -> None:
        await fleet.client.send("waiting", {"n": 0}, id=str(number))

    async def all_of_them() -> int:
        started = time.perf_counter()
        await drive(one, count, SENDERS, 0)
        await observer.started(count)
        starts_per_s = round(count / (time.perf_counter() - started))
        await observer.holds(fleet.coordinators[0].pid, count)
        await observer.completions(count)  # their first nodes would be ahead of what is measured next
        return starts_per_s

    return await fleet.watch_over(all_of_them(), 60 + count * START_S_PER_RUN)


async def _restart(fleet: Fleet, count: int) -> float:
    """Seconds from the start of a new coordinator until a run of every partition that was waiting has ended."""
    runs = {partition_of(run_id("waiting", str(number)), fleet.client.partitions): number for number in range(count)}
    handles = [await fleet.client.handle(run_id("waiting", str(number))) for number in runs.values()]
    fleet.kill(fleet.coordinators[0])
    started = time.monotonic()
    fleet.coordinators = [fleet.start_coordinator()]
    for handle in handles:
        await handle.signal(SIGNAL)
    await asyncio.gather(*(handle.result() for handle in handles))
    return round(time.monotonic() - started, 2)


async def _missing(observer: Observer, coordinator: int, expected: int) -> int:
    """How many of the runs that are expected to wait on the coordinator does not hold, once it has had time to say so."""
    try:
        await asyncio.wait_for(observer.holds(coordinator, expected), SAY_S)
    except TimeoutError:
        return expected - observer.held_by(coordinator)
    return 0
