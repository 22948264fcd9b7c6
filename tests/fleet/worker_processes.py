"""Workers for tests: in this process, or as processes of their own that can be killed and stopped."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.client import Connection
from jetfleet.broker.observe.tracing import OFF, Tracing
from jetfleet.workers import Registry
from jetfleet.workers.fleet.settings import WorkerSettings
from jetfleet.workers.fleet.worker import Worker

from .children import Child, order
from .task_owner import NODES


@asynccontextmanager
async def worker(url: str, data: Path, *, nodes: str | None = NODES, tracing: Tracing = OFF, **options: Any) -> AsyncIterator[Worker]:
    """A worker in this loop, stopped at the end if the test has not done so."""
    registry = Registry()
    if nodes is not None:
        registry.load(nodes)
    async with await Connection.open(url, name="worker") as connection:
        one = Worker(connection, WorkerSettings(url=url, data=data, processes=1, **options), registry, tracing=tracing)
        await one.start()
        try:
            yield one
        finally:
            await one.stop(0)


class CommandProcess(Child):
    """A command of `jetfleet` as a process. What it says goes to a file. `constants`: how long things take there, by `module.NAME`."""

    def __init__(self, log: Path, *arguments: str, constants: Mapping[str, float] | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        self.log = log
        super().__init__(arguments[0], order(log, *arguments, environment=os.environ, constants=constants))

    def end(self, timeout_s: float = 15) -> int:
        """Ask it to end; its exit code."""
        self.ask_to_end()
        return self.wait(timeout_s)


class WorkerProcess(CommandProcess):
    """`jetfleet worker` as a process."""

    def __init__(self, url: str, data: Path, *arguments: str, nodes: str = NODES, constants: Mapping[str, float] | None = None) -> None:
        command = ("worker", "--nats", url, "--data", str(data), "--nodes", nodes, *arguments)
        super().__init__(data / "worker.log", *command, constants=constants)


@contextmanager
def worker_process(url: str, data: Path, *arguments: str, nodes: str = NODES) -> Iterator[WorkerProcess]:
    started = WorkerProcess(url, data, *arguments, nodes=nodes)
    try:
        yield started
    finally:
        started.kill_if_alive()
