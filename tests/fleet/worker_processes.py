"""Workers for tests: in this process, or as processes of their own that can be killed and stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.client import Connection
from jetfleet.broker.observe.tracing import OFF, Tracing
from jetfleet.workers import Registry
from jetfleet.workers.fleet.settings import WorkerSettings
from jetfleet.workers.fleet.worker import Worker

from .task_owner import NODES

_MAIN = "import sys; from jetfleet.schemas.cli import main; sys.exit(main(sys.argv[1:]))"


def _with(constants: Mapping[str, float]) -> str:
    """A program that sets constants (`module.NAME`, `module.Class.name`) before it does what the command does."""
    places = [(*name.rpartition(".")[::2], value) for name, value in constants.items()]
    lines = [f"setattr(pkgutil.resolve_name({holder!r}), {name!r}, {value})" for holder, name, value in places]
    return "\n".join(["import pkgutil", *lines, _MAIN])


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


class CommandProcess:
    """A command of `jetfleet` as a process. What it says goes to a file. `constants`: how long things take there, by `module.NAME`."""

    def __init__(self, log: Path, *arguments: str, constants: Mapping[str, float] | None = None) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _with(constants or {}), *arguments], stderr=file, stdout=file, start_new_session=True
            )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def kill_if_alive(self) -> None:
        if self.process.poll() is None:
            self.thaw()
            self.kill()

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def end(self, timeout_s: float = 15) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(timeout_s)


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
