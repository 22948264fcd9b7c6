"""The processes of a simulated fleet: coordinators, workers, publishers, and somebody who answers what runs ask. The code in them is the real one.

    start ──▶ up ──stop──▶ ended
      ▲        │ kill, or an error that ends it
      └────────┴─ the supervisor starts it again, with the same folder

An actor is a place in the fleet; what lives in it is a `Process`, another one after each death.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.coordinator import Coordinator, CoordinatorSettings
from jetfleet.schemas.errors import JetfleetError
from jetfleet.workers import Registry
from jetfleet.workers.fleet.settings import WorkerSettings
from jetfleet.workers.fleet.worker import Worker

from .machines import Machines
from .process import Process

URL = "nats://simulated:4222"
RESTART_S = 0.3
STOP_S = 3.0


class Actor(ABC):
    """`crashed` is told what ended a process that nobody killed: an error of ours that nothing handled."""

    role = ""

    def __init__(self, name: str, machines: Machines, crashed: Callable[[Actor, BaseException], None], host: str) -> None:
        self.name, self.host = name, host
        self.process: Process | None = None
        self.wanted = False
        """Whether it is started again when it has ended."""
        self._machines, self._crashed = machines, crashed
        self._stopping = asyncio.Event()

    @property
    def is_up(self) -> bool:
        return self.process is not None and self.process.runs

    def start(self) -> None:
        """Start a process, unless there is one."""
        self.wanted = True
        if self.process is None:
            self._stopping = asyncio.Event()
            self.process = self._machines.process(self.name, self.host)
            self.process.spawn(self._live(self.process))

    def kill(self) -> None:
        """It is gone, from one moment to the next."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()

    def stop(self) -> None:
        """Ask it to end in order."""
        self._stopping.set()

    async def _live(self, process: Process) -> None:
        try:
            await self._main(self._stopping)
        except JetfleetError as error:  # what a command would print before it ends
            self._said(error)
        except Exception as error:
            if not process.dead:  # else the world is being taken apart
                self._crashed(self, error)
        process.end()
        if self.process is process:
            self.process = None

    def _said(self, error: JetfleetError) -> None:
        self._machines.note(f"{self.name} ended: {error.code}: {error}")

    @abstractmethod
    async def _main(self, stopping: asyncio.Event) -> None:
        """What the process does, until `stopping`."""


class CoordinatorActor(Actor):
    """As `jetfleet coordinator` does it: two connections, and the folder of its high-water mark."""

    role = "coordinator"
    coordinator: Coordinator | None = None

    async def _main(self, stopping: asyncio.Event) -> None:
        async with (
            await Connection.open(URL, name=self.name) as connection,
            await Connection.open(URL, name=f"{self.name}-control") as control,
        ):
            one = self.coordinator = Coordinator(connection, control, CoordinatorSettings(data=self._machines.folder(self.name)))
            await one.start()
            one.failed.add_done_callback(lambda failed: stopping.set())
            await stopping.wait()
            await one.stop()
            if one.failed.done():
                raise one.failed.result()


class WorkerActor(Actor):
    role = "worker"
    worker: Worker | None = None

    def __init__(
        self, name: str, machines: Machines, crashed: Callable[[Actor, BaseException], None], host: str, nodes: Registry, slots: int
    ) -> None:
        super().__init__(name, machines, crashed, host)
        self._nodes, self._slots = nodes, slots

    @property
    def _folder(self) -> Path:
        return self._machines.folder(self.host)

    async def _main(self, stopping: asyncio.Event) -> None:
        settings = WorkerSettings(url=URL, data=self._folder, processes=1, concurrency=self._slots)
        async with await Connection.open(URL, name=self.name) as connection:
            one = self.worker = Worker(connection, settings, self._nodes)
            await one.start()
            await stopping.wait()
            await one.stop(STOP_S)


async def supervise(actors: list[Actor]) -> None:
    """Start again, after a moment, whatever has ended and is wanted."""
    while True:
        await asyncio.sleep(RESTART_S)
        for actor in actors:
            if actor.wanted and actor.process is None:
                actor.start()


@contextlib.contextmanager
def nobody_restarts(actor: Actor):  # type: ignore[no-untyped-def]
    """For as long as this lasts, who ends stays away."""
    actor.wanted = False
    try:
        yield
    finally:
        actor.wanted = True
