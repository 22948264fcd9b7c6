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
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jetfleet.broker.api import Client
from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.server.ports import free_port
from jetfleet.broker.topology import Topology
from jetfleet.schemas.errors import JetfleetError

from ..client.proxy import Proxy
from ..fleet.conftest import MEMORY, in_memory
from . import flows, publisher
from .evidence import Evidence
from .ledger import Ledger
from .processes import COMMAND, Child, Order, order
from .recorder import Recorder
from .server import Server
from .watcher import Watcher

COORDINATOR, WORKER, READER, TRIGGER, PUBLISHER, SERVER = "coordinator", "worker", "reader", "trigger", "publisher", "server"
ROLES = (SERVER, COORDINATOR, WORKER, READER, TRIGGER, PUBLISHER)
READY_S = 60
SUPERVISE_S = 0.5
SETTLE_S = 60
"""How long runs may take to end when nothing is disturbed any more."""
_OWNER = "jetfleet.broker.coordinator.owner"
EAGER: Mapping[str, Mapping[str, Any]] = {COORDINATOR: {f"{_OWNER}.SNAPSHOT_EVERY_S": 0.5, f"{_OWNER}.SNAPSHOT_RECORDS": 50}}
"""Snapshots all the time: who dies is in the middle of one now and then, and who takes over begins with one."""
PUBLISHER_MAIN = "tests.faults.publisher:main"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How many of each there are, and what they do. `proxied`: roles whose processes reach the server by a proxy of their own.

    `mix`: the flows that publishers start; a trigger adds its own. `rate`: events per second of each publisher; `count`: how many in all.
    `constants`, `wrappers`: by role, what is changed inside its processes. `data`: where the server's store lies, if not in the world's
    folder. `server`: further settings of it. `options`: further arguments of a command, by role. `settings`: of all flows.
    """

    coordinators: int = 2
    workers: int = 2
    readers: int = 1
    triggers: int = 1
    publishers: int = 1
    partitions: int = 4
    rate: float = 30
    count: int | None = None
    mix: Sequence[str] = publisher.MIX
    proxied: frozenset[str] = frozenset()
    constants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: EAGER)
    wrappers: Mapping[str, Sequence[str]] = field(default_factory=lambda: {COORDINATOR: ("tests.faults.keeping",)})
    options: Mapping[str, Sequence[str]] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    nodes: Sequence[str] = (flows.NODES,)
    data: Path | None = None
    server: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault that hit one process. `partitions`: those that it owned. `open`: the runs that were acknowledged and had not ended."""

    kind: str
    name: str
    pid: int
    at_ns: int
    partitions: frozenset[int] = frozenset()


class World:
    """Made by `world`. `children`: the processes by name (`worker-0`), dead ones too. `strikes`: what has been done to them."""

    def __init__(self, shape: Shape, seed: int, folder: Path) -> None:
        self.shape, self.folder, self.random = shape, folder, random.Random(seed)
        self.seed = seed
        self.ledger = Ledger(folder / publisher.LEDGER, fsync=False)
        data = shape.data or folder / "server"
        self.server = Server(data, folder / "server.log", **shape.server)
        self.children: dict[str, Child] = {}
        self.proxies: dict[str, Proxy] = {}
        self.strikes: list[Strike] = []
        self.keep = False
        self.hook = f"127.0.0.1:{free_port()}" if shape.triggers else ""
        self.exits: Counter[str] = Counter()
        """Ends that nobody injected, by what the process said last."""
        self._supervised: set[str] = set()
        self._supervisor: asyncio.Task[None] | None = None
        self._orders: dict[str, Order] = {}
        self._stack = AsyncExitStack()

    # --- processes

    def names(self, *roles: str) -> list[str]:
        """Of the processes of these roles, or of all."""
        return [name for name in (SERVER, *self._orders) if not roles or role_of(name) in roles]

    def alive(self, *roles: str) -> list[str]:
        return [name for name in self.names(*roles) if name in self.children and self.children[name].alive]

    def start(
        self, name: str, *, environment: Mapping[str, str] | None = None, wrappers: Sequence[str] = (), supervised: bool = True
    ) -> Child:
        """Start a process, or start it again. The server: see `start_server`. What else is given holds for this life."""
        planned = self._orders[name]
        given: Order = {
            **planned,
            "environment": {**planned["environment"], **(environment or {})},
            "wrappers": (*planned["wrappers"], *wrappers),
        }
        child = self.children[name] = Child(name, given)
        if supervised and role_of(name) != PUBLISHER:
            self._supervised.add(name)
        return child

    async def start_server(self) -> None:
        self.children[SERVER] = await self.server.start()

    async def start_again(self, name: str) -> None:
        if name == SERVER:
            await self.start_server()
        else:
            self.start(name)

    def kill(self, name: str) -> Strike:
        strike = self.struck("kill", name)
        self._supervised.discard(name)
        self.children[name].kill()
        return strike

    def freeze(self, name: str) -> Strike:
        strike = self.struck("freeze", name)
        self.children[name].freeze()
        return strike

    def thaw(self, name: str) -> None:
        self.children[name].thaw()
        self.ledger.healed(f"freeze {role_of(name)}")

    async def stop(self, name: str) -> None:
        """Let it end in order."""
        self._supervised.discard(name)
        self.children[name].ask_to_end()
        await self.children[name].ended()

    async def _supervise(self) -> None:
        """As whoever runs a fleet does: what has ended by itself is started again, a little later."""
        while True:
            await asyncio.sleep(SUPERVISE_S)
            for name in [name for name in self._supervised if not self.children[name].alive]:
                child = self.children[name]
                self.exits[f"{role_of(name)} ended by itself ({child.exit_code}): {child.last_lines(1)}"] += 1
                self.start(name)

    def proxy(self, name: str) -> Proxy:
        return self.proxies[name]

    def struck(self, kind: str, name: str, detail: str = "") -> Strike:
        """Note a fault: before it is injected, if the caller can know."""
        pid = self.children[name].pid
        strike = Strike(kind, name, pid, time.time_ns(), self.watcher.owned_by(pid))
        self.strikes.append(strike)
        self.ledger.fault(f"{kind} {role_of(name)}", f"{name} pid {pid} {detail}".strip())
        return strike

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
        await ensure(self.connection, Topology(partitions=self.shape.partitions, store_bytes=1 << 30))
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

    async def _plan(self) -> None:
        """What each process is to be started with."""
        shape = self.shape
        for role, count in ((COORDINATOR, shape.coordinators), (WORKER, shape.workers), (READER, shape.readers), (TRIGGER, shape.triggers)):
            for number in range(count):
                await self._plan_one(role, number)
        for number in range(shape.publishers):
            await self._plan_one(PUBLISHER, number)

    async def _plan_one(self, role: str, number: int) -> None:
        name = f"{role}-{number}"
        url = await self._url(name)
        arguments = self._arguments(role, name, url)
        self._orders[name] = order(
            self.folder / f"{name}.log",
            *arguments,
            *self.shape.options.get(role, ()),
            main=PUBLISHER_MAIN if role == PUBLISHER else COMMAND,
            constants=self.shape.constants.get(role),
            wrappers=self.shape.wrappers.get(role, ()),
        )

    def _arguments(self, role: str, name: str, url: str) -> list[str]:
        shape = self.shape
        if role == PUBLISHER:
            count = () if shape.count is None else ("--count", str(shape.count))
            hook = ("--hook", self.hook) if self.hook else ()
            given = ("--name", name, "--rate", str(shape.rate), "--seed", str(self.seed), "--flows", ",".join(shape.mix))
            return [url, str(self.folder), *given, *count, *hook]
        common = ["--nats", url, "--data", str(self.folder / role), "--log-format", "json"]
        nodes = [word for each in shape.nodes for word in ("--nodes", each)]
        return {
            COORDINATOR: ["coordinator", *common],
            WORKER: ["worker", *common, *nodes],
            READER: ["reader", *common],
            TRIGGER: ["trigger", "serve", "--type", "webhook", *common],
        }[role]

    async def _url(self, name: str) -> str:
        if role_of(name) not in self.shape.proxied:
            return self.server.url
        proxy = self.proxies[name] = await self._stack.enter_async_context(Proxy(self.server.port))
        return proxy.url

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
            if child.name != SERVER:
                child.kill_if_alive()
        try:
            async with asyncio.timeout(5):
                await self._stack.aclose()
        except TimeoutError:
            pass
        finally:
            if SERVER in self.children:
                self.children[SERVER].kill_if_alive()
            self.ledger.close()


def role_of(name: str) -> str:
    return name.partition("-")[0]


@asynccontextmanager
async def world(shape: Shape, seed: int = 0) -> AsyncIterator[World]:
    folder = Path(tempfile.mkdtemp(prefix="jetfleet-faults-", dir=MEMORY if in_memory() else None))
    one = World(shape, seed, folder)
    try:
        async with one:
            yield one
    except BaseException:
        one.keep = True
        raise
    finally:
        shutil.rmtree(folder / "server" if one.keep else folder, ignore_errors=True)
