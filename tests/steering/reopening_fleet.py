"""A fleet with a reader, for runs that are reopened."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.api import Client
from jetfleet.broker.read_model.reader import Reader

from ..fleet.fleets import Fleet, fleet
from ..fleet.worker_processes import worker

NODES = str(Path(__file__).with_name("reopening_nodes.py"))


@asynccontextmanager
async def reopening_fleet(url: str, folder: Path, *, partitions: int = 2, coordinators: int = 1) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(fleet(url, folder, partitions=partitions, coordinators=coordinators, workers=0))
        await stack.enter_async_context(worker(url, folder / "worker", nodes=NODES))
        reader = Reader(one.client.connection, partitions, folder / "reader")
        await reader.start()
        stack.push_async_callback(reader.stop)
        yield one


async def deploy(one: Fleet, *flows: Mapping[str, Any]) -> None:
    for each in flows:
        await one.client.deploy(each, nodes=[NODES])


async def failed(client: Client, flow: str, payload: Mapping[str, Any], **options: Any) -> str:
    """The id of a run that has failed."""
    result = await client.run(flow, dict(payload), timeout_s=10, **options)
    assert result.status == "failed", result
    return result.run_id


async def listed(client: Client, where: str, count: int = 1) -> list[Any]:
    """The rows of the read model, once there are so many."""
    async with asyncio.timeout(10):
        while len((page := await client.runs(where)).rows) < count:
            await asyncio.sleep(0.05)
    return page.rows
