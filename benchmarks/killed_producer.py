"""A value whose producer is gone: `kill -9` of its worker as soon as the completion is on disk, and only then is there a consumer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from .fleet import Fleet
from .handover import HELD, MADE, NODES, PRODUCER, RUN_S, arena_options, flow
from .observer import Observer
from .payload_nodes import numbers
from .processes import BenchmarkFailed

FLOW = flow("payload_killed", "make_bytes", "digest")
SEED = 1


async def measure(arena: Path, arena_max: int, size: int) -> dict[str, Any]:
    """Whether the consumer got the bytes that were made, by their SHA-256. Raises BenchmarkFailed if the run does not end."""
    async with Fleet(workers=0) as fleet:
        await fleet.deploy(FLOW, NODES)
        async with Observer(fleet.client) as observer:
            options = arena_options(arena, arena_max)
            maker = fleet.start_worker("--queue", MADE, *options, nodes=NODES)
            handle = await fleet.client.start("payload_killed", {"bytes": size, "seed": SEED})
            await fleet.watch_over(observer.on_disk((handle.id, PRODUCER)), RUN_S)
            fleet.kill(maker)
            fleet.start_worker("--queue", HELD, *options, nodes=NODES)
            result = await fleet.watch_over(handle.result(), RUN_S)
        if not result.completed:
            raise BenchmarkFailed(f"the producer was killed, and the run is {result.status}: {result.error}")
        expected = hashlib.sha256(numbers(size, SEED).data).hexdigest()
        return {"bytes": size, "right_bytes": result.output["sha256"] == expected}
