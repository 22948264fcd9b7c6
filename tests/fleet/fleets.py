"""Fleets for tests: coordinators and workers in the loop of the test, or as processes that can be stopped and killed.

    async with fleet(url, folder) as one:
        await one.deploy(chain("orders"))
        run = await one.client.send("orders", {"n": 1})
        await one.log.ended(run)

What happened is read from the log (`fleet_log.py`), not from what a process says of itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.coordinator import Coordinator, CoordinatorSettings
from jetfleet.broker.deployment import ensure
from jetfleet.broker.engine import Run
from jetfleet.broker.topology import Topology

from .fleet_log import Log
from .trouble import until
from .worker_processes import CommandProcess, WorkerProcess, worker

NODES = str(Path(__file__).with_name("fleet_nodes.py"))
LONG_S = 40
"""How long a fleet with troubles may take."""


def chain(name: str, *types: str, **blocks: Any) -> dict[str, Any]:
    """A flow of nodes `n0`, `n1`, … in a row, started by hand. `blocks`: further blocks of the definition."""
    return flow(name, {f"n{place}": {"type": type} for place, type in enumerate(types or ("f.echo",) * 3)}, **blocks)


def flow(name: str, nodes: Mapping[str, Any], edges: Sequence[str] | None = None, **blocks: Any) -> dict[str, Any]:
    """A flow whose nodes follow one another as written, or by edges such as `a -> b` and `a.port -> b`."""
    names = list(nodes)
    written = [f"{one} -> {other}" for one, other in pairwise(names)] if edges is None else edges
    ends = [edge.split(" -> ") for edge in written]
    triggers = [{"id": "go", "type": "manual"}]
    started = [{"from": "go", "to": names[0]}]
    return {"name": name, "triggers": triggers, "nodes": dict(nodes), "edges": started + [{"from": a, "to": b} for a, b in ends]} | blocks


class Fleet:
    """`coordinators`: those that run in this loop."""

    def __init__(self, url: str, folder: Path, client: Client, log: Log, stack: AsyncExitStack) -> None:
        self.url, self.folder, self.client, self.log = url, folder, client, log
        self.coordinators: list[Coordinator] = []
        self._stack = stack

    async def deploy(self, *flows: Mapping[str, Any]) -> None:
        for each in flows:
            await self.client.deploy(each, nodes=[NODES])

    async def coordinator(self) -> Coordinator:
        """One more in this loop; returns when it is ready."""
        connection = await self._stack.enter_async_context(await Connection.open(self.url, name="coordinator"))
        control = await self._stack.enter_async_context(await Connection.open(self.url, name="control"))
        one = Coordinator(connection, control, CoordinatorSettings())
        await one.start()
        self.coordinators.append(one)
        await until(lambda: not one.ready and not one.failed.done(), f"a coordinator that is ready: {one.ready}")
        return one

    async def leave(self, one: Coordinator) -> None:
        """Stop it in order."""
        self.coordinators.remove(one)
        await one.stop()

    async def crash(self, one: Coordinator) -> None:
        """From now on nothing leaves it. It cannot be seen that its process is gone, so the others wait until its time is over."""
        self.coordinators.remove(one)
        await one._control.close()
        await one.connection.close()

    async def worker(self, folder: str = "worker") -> None:
        await self._stack.enter_async_context(worker(self.url, self.folder / folder, nodes=NODES))

    async def shared(self) -> None:
        """Wait until every partition has a ready owner, and each coordinator its share."""
        share = self.client.partitions // len(self.coordinators)
        await until(lambda: all(len(one.owners) == share and not one.ready for one in self.coordinators), "partitions shared")

    def open_run(self, id: str) -> Run | None:
        """The engine's state of a run, in the hands of whichever coordinator of this loop owns it."""
        for one in self.coordinators:
            for owner in one.owners.values():
                if owner.partition is not None and id in owner.partition.runs:
                    return owner.partition.runs[id].run
        return None

    async def quiet(self) -> None:
        """Wait until every record in the log has been taken in, and all effects are acknowledged."""
        for one in self.coordinators:
            for owner in one.owners.values():
                await owner.caught_up()
            await one.outbox.drained()
        await self.log.caught_up()

    def ids(self, flow: str, count: int, payload: Any = None) -> list[Any]:
        """Coroutines that send so many events, each with a key of its own."""
        return [self.client.send(flow, {"n": n} if payload is None else payload | {"n": n}, id=f"k{n}") for n in range(count)]


@asynccontextmanager
async def fleet(url: str, folder: Path, *, partitions: int = 2, coordinators: int = 1, workers: int = 1) -> AsyncIterator[Fleet]:
    """What was started here is stopped in order, the workers first, unless the test did."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await Connection.open(url, name="test"))
        await ensure(connection, Topology(partitions=partitions, store_bytes=1 << 30))
        client = await stack.enter_async_context(await Client.connect(url))
        log = await stack.enter_async_context(Log(connection, partitions))
        one = Fleet(url, folder, client, log, stack)
        stack.push_async_callback(_stop, one)
        for _ in range(coordinators):
            await one.coordinator()
        for number in range(workers):
            await one.worker(f"worker{number}")
        try:
            yield one
        finally:
            await _stop(one)


async def _stop(one: Fleet) -> None:
    await asyncio.gather(*(one.leave(each) for each in list(one.coordinators)))


@contextmanager
def coordinator_process(url: str, folder: Path) -> Iterator[CommandProcess]:
    """`jetfleet coordinator` as a process."""
    started = CommandProcess(folder / "coordinator.log", "coordinator", "--nats", url, "--data", str(folder))
    try:
        yield started
    finally:
        started.kill_if_alive()


@contextmanager
def worker_process(url: str, folder: Path) -> Iterator[CommandProcess]:
    """`jetfleet worker` as a process, with the nodes of these tests."""
    started = WorkerProcess(url, folder, nodes=NODES)
    try:
        yield started
    finally:
        started.kill_if_alive()
