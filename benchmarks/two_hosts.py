"""A value that is needed on another host: made in one arena, fetched through the object store into another one.

    on demand    the value lies in the arena of its host only: it is uploaded when the consumer asks, then downloaded
    uploaded     `durability: object-store`: it was uploaded before the completion was recorded, and is only downloaded

The time of a fetch is the hand-over less that of 1 KiB, which is no fetch. Each is quoted with what a raw pipeline of chunks does on the
same two hosts and the same server in the same minutes (raw_chunks.py): through the stream, and out of it.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jetfleet.broker.client import NoResponders

from . import raw_chunks
from .fleet import Fleet
from .handover import HELD, MADE, NODES, RUN_S, Pair, arena_options, flow, pair
from .hosts import Hosts

SMALL_BYTES = 1024
ON_DEMAND = flow("payload_fetched", "make_bytes", "hold_bytes")
UPLOADED = flow("payload_uploaded", "make_bytes", "hold_bytes", durability="object-store")
READY_S, LOOK_S = 30, 0.02


async def measure(arena: Path, arena_max: int, sizes: Sequence[int], runs: int) -> dict[str, Any]:
    with Hosts() as hosts:
        async with Fleet(workers=0, host=hosts.address) as fleet:
            maker, holder = (
                fleet.start_worker("--queue", queue, *arena_options(arena / host, arena_max), nodes=NODES, on=hosts.on(host))
                for queue, host in ((MADE, "a"), (HELD, "b"))
            )
            async with pair(fleet, (ON_DEMAND, UPLOADED), maker, holder) as workers:
                await _start_raw(fleet, hosts)
                small_ms = await _median(workers, "payload_fetched", SMALL_BYTES, 3 * runs)
                cases = [await _case(workers, size, runs, small_ms) for size in sizes]
        return {"isolation": hosts.isolation, "chunk_bytes": raw_chunks.CHUNK_BYTES, "small_ms": round(small_ms, 2), "cases": cases}


async def _case(workers: Pair, size: int, runs: int, small_ms: float) -> dict[str, Any]:
    """Fleet and raw pipeline in turns."""
    on_demand_ms, uploaded_ms, through_s, read_s = [], [], [], []
    for _ in range(runs):
        on_demand_ms.append(await workers.hand_over("payload_fetched", size) - small_ms)
        uploaded_ms.append(await workers.hand_over("payload_uploaded", size) - small_ms)
        raw = await _raw(workers.fleet, size)  # last: the server is busy with what it leaves for a while
        through_s.append(raw["through_s"])
        read_s.append(raw["read_s"])
    on_demand, uploaded = (size / statistics.median(times) / 1e3 for times in (on_demand_ms, uploaded_ms))
    raw_through, raw_read = (size / statistics.median(times) / 1e6 for times in (through_s, read_s))
    return {
        "bytes": size,
        "on_demand_mb_s": round(on_demand),
        "raw_through_mb_s": round(raw_through),
        "on_demand_ratio": round(on_demand / raw_through, 2),
        "uploaded_mb_s": round(uploaded),
        "raw_read_mb_s": round(raw_read),
        "uploaded_ratio": round(uploaded / raw_read, 2),
    }


async def _median(workers: Pair, flow: str, size: int, runs: int) -> float:
    return statistics.median([await workers.hand_over(flow, size) for _ in range(runs)])


async def _start_raw(fleet: Fleet, hosts: Hosts) -> None:
    for role, host in (("write", "a"), ("read", "b")):
        fleet.start(f"raw-{role}", *hosts.on(host), sys.executable, "-m", "benchmarks.raw_chunks", "--role", role, "--url", fleet.url)
    await fleet.watch_over(_raw_ready(fleet), READY_S)


async def _raw_ready(fleet: Fleet) -> None:
    while True:
        try:
            await _raw(fleet, 0)
            return
        except NoResponders:
            await asyncio.sleep(LOOK_S)


async def _raw(fleet: Fleet, size: int) -> dict[str, float]:
    question = json.dumps({"bytes": size}).encode()
    answer = await fleet.client.connection.request(raw_chunks.MEASURE, question, timeout_s=RUN_S)
    times: dict[str, float] = json.loads(answer.data)
    return times
