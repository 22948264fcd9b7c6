"""A world: a server, coordinators, workers, a reader, a trigger and publishers, each a process that can be killed, frozen and cut off.

    async with world(Shape(rate=40), seed=7) as one:
        one.kill("worker-0")
        one.start("worker-0")
        open = await one.settle()            # everything acknowledged has ended, or says why not
        evidence = await one.evidence()

Faults are written into the ledger when they are injected. Nothing of a world survives the harness; its folder is removed when it is left,
unless `keep` was said (or something failed), and then without the server's store.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.server.ports import free_port
from jetfleet.broker.topology import Topology
from jetfleet.schemas.errors import JetfleetError

from ..fleet.children import Child
from ..fleet.conftest import MEMORY, in_memory
from . import flows, publisher
from .cast import Cast
from .evidence import Evidence
from .ledger import Ledger
from .recorder import Recorder
from .server import Server
from .shape import COORDINATOR, EAGER, PUBLISHER, READER, ROLES, SERVER, TRIGGER, WORKER, Shape, Strike, role_of
from .watcher import Watcher

__all__ = [
    "COORDINATOR", "EAGER", "PUBLISHER", "READER", "ROLES", "SERVER", "SETTLE_S", "TRIGGER", "WORKER", "Shape", "Strike", "World", "role_of", "world",
]  # fmt: skip
Kind = TypeVar("Kind", bound="World")
KEEP = "FAULTS_KEEP"
"""Set to anything in the environment: ledgers and logs are left behind, also when nothing failed."""
READY_S = 180
SETTLE_S = 180
"""How long runs may take to end when nothing is disturbed any more."""


class World(Cast):
    """Made by `world`. `keep`: leave ledger and logs behind."""

    def __init__(self, shape: Shape, seed: int, folder: Path) -> None:
        ledger = Ledger(folder / publisher.LEDGER, fsync=False)
        server = Server(shape.data or folder / SERVER, folder / "server.log", **shape.server)
        super().__init__(shape, seed, folder, ledger, server, f"127.0.0.1:{free_port()}" if shape.triggers else "")
        self.random = random.Random(seed)
        self.keep = bool(os.environ.get(KEEP))
        self.topology = Topology(partitions=shape.partitions, store_bytes=shape.store_bytes)
        self._supervisor: asyncio.Task[None] | None = None

    def now_ns(self) -> int:
        return time.time_ns()

    # --- beginning

    async def __aenter__(self) -> World:
        try:
            await self._begin()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def _begin(self) -> None:
        await self.start_server()
        self.connection = await self._stack.enter_async_context(await Connection.open(self.server.url, name="harness"))
        await ensure(self.connection, self.topology)
        self.client = await self._stack.enter_async_context(await Client.connect(self.server.url, name="harness-client"))
        self.watcher = await self._stack.enter_async_context(Watcher(self.connection, self.shape.partitions, self.ledger.terminal))
        self.recorder = await self._stack.enter_async_context(Recorder(self.connection, self.shape.partitions))
        await self._plan()
        await self.deploy(flows.chain(), flows.fan(), flows.timed(), flows.signalled(), flows.parent())
        if self.hook:
            await self.deploy(flows.hooked(int(self.hook.rpartition(":")[2])))
        for name in self.names(COORDINATOR, WORKER, READER, TRIGGER):
            self.start(name)
        self._supervisor = asyncio.create_task(self._supervise())
        await self.ready()

    async def deploy(self, *definitions: Mapping[str, Any]) -> None:
        for definition in definitions:
            given = flows.with_ledger(dict(definition), self.ledger.path or Path(), **self.shape.settings)
            await self.client.deploy(given, nodes=list(self.shape.nodes))

    async def ready(self) -> None:
        """Wait until every partition is owned, each coordinator has some, and workers have said that they are there."""
        watcher = self.watcher

        def all_there() -> bool:
            there = {self.children[name].pid for name in self.names(COORDINATOR, WORKER, READER)}
            owners = {self.children[name].pid for name in self.names(COORDINATOR)}
            shared = self.shape.partitions < len(owners) or all(watcher.owned_by(pid) for pid in owners)
            return there <= set(watcher.pids.values()) and watcher.owned() and shared

        try:
            await watcher.until(all_there, "the fleet is ready", READY_S)
        except AssertionError as error:
            error.add_note(f"owners {watcher.owners}, processes {watcher.pids}, {dict(self.exits)}")
            raise

    # --- the load, and its end

    def publish(self) -> None:
        """Let the publishers begin."""
        for name in self.names(PUBLISHER):
            self.start(name)

    async def all_published(self, deadline_s: float = 600) -> None:
        """Wait until publishers with a `count` are through."""
        for name in self.names(PUBLISHER):
            await self.children[name].ended(deadline_s)

    async def ended(self, count: int, deadline_s: float = SETTLE_S) -> None:
        """Wait until so many runs have ended since the world began."""
        await self.watcher.until(lambda: len(self.watcher.ends) >= count, f"{count} runs have ended: {len(self.watcher.ends)}", deadline_s)

    def open_runs(self) -> set[str]:
        """The acknowledged runs that have not ended."""
        return set(self.ledger.account().runs) - self.watcher.ends.keys()

    async def settle(self, deadline_s: float = SETTLE_S) -> list[str]:
        """Let the publishers come to an end, and all that they were told of; the acknowledged runs that have not ended within the time."""
        ends_at = time.monotonic() + deadline_s
        for name in self.names(PUBLISHER):
            await self._publish_what_is_open(name, deadline_s)
        left = self.open_runs()

        def none_left() -> bool:
            left.difference_update(self.watcher.ends)
            return not left

        with suppress(AssertionError):
            await self.watcher.until(none_left, "the ends of all runs", max(ends_at - time.monotonic(), 1))
        return sorted(left)

    async def _publish_what_is_open(self, name: str, deadline_s: float) -> None:
        """Let it come to an end, and a last one that begins nothing see to what was left, should it have died."""
        if name not in self.children:
            return
        if self.children[name].alive:
            self.children[name].ask_to_end()
        deadline_s = max(deadline_s, READY_S)
        await self.children[name].ended(deadline_s)
        last = self.children[name] = Child(name, {**self._orders[name], "arguments": (*self._orders[name]["arguments"], "--count", "0")})
        code = await last.ended(deadline_s)
        assert code == 0, f"{name} ended with {code}:\n{last.last_lines()}"

    async def evidence(self, **more: Any) -> Evidence:
        """`more`: further fields of it, which only the scenario knows."""
        return await self.recorder.evidence(self.ledger, self.client, **more)

    async def why(self, run: str) -> str:
        """Why a run is open, in the words of its owner."""
        try:
            view = await self.client.look(run)
        except JetfleetError as error:
            return f"{run}: {error.code}"
        return f"{run}: nobody knows it" if view is None else f"{run}: {view.status} {view.nodes} {view.blocked}"

    async def __aexit__(self, *_: object) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
        for child in reversed(list(self.children.values())):
            if role_of(child.name) != SERVER:
                child.kill_if_alive()
        try:
            async with asyncio.timeout(5):
                await self._stack.aclose()
        except TimeoutError:
            pass
        finally:
            for child in self.children.values():
                child.kill_if_alive()
            self.ledger.close()


@asynccontextmanager
async def world(shape: Shape, seed: int = 0) -> AsyncIterator[World]:
    async with entered(World, shape, seed) as one:
        yield one


@asynccontextmanager
async def entered(kind: type[Kind], shape: Shape, seed: int) -> AsyncIterator[Kind]:
    """A world of this kind, in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="jetfleet-faults-", dir=MEMORY if in_memory() else None))
    one = kind(shape, seed, folder)
    try:
        async with one:
            yield one
    except BaseException:
        one.keep = True
        raise
    finally:
        shutil.rmtree(folder / "server" if one.keep else folder, ignore_errors=True)
