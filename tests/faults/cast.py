"""The cast of a world: its processes by name (`worker-0`), started, killed, frozen, and looked after like those of a real fleet.

What ends by itself is started again a little later, as whoever runs a fleet does, and is noted with its last words. What is killed stays dead
until somebody starts it.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from ..client.proxy import Proxy
from ..fleet.children import COMMAND, Child, Order, order
from .ledger import Ledger
from .server import Server
from .shape import COORDINATOR, PUBLISHER, READER, SERVER, TRIGGER, WORKER, Shape, Strike, role_of
from .watcher import Watcher

SUPERVISE_S = 0.5
SAID_CHARACTERS = 200
PUBLISHER_MAIN = "tests.faults.publisher:main"


class Cast:
    """`children`: the latest process of each name, dead ones too; `strikes`: what has been done to them; `exits`: ends that nobody injected.

    `hook`: where the webhook listens, "" for nowhere.
    """

    watcher: Watcher

    def __init__(self, shape: Shape, seed: int, folder: Path, ledger: Ledger, server: Server, hook: str) -> None:
        self.shape, self.seed, self.folder, self.ledger, self.server, self.hook = shape, seed, folder, ledger, server, hook
        self.children: dict[str, Child] = {}
        self.proxies: dict[str, Proxy] = {}
        self.strikes: list[Strike] = []
        self.exits: Counter[str] = Counter()
        self._supervised: set[str] = set()
        self._orders: dict[str, Order] = {}
        self._stack = AsyncExitStack()

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
        with suppress(ProcessLookupError):  # it has just ended by itself
            self.children[name].ask_to_end()
        await self.children[name].ended()

    def leave_alone(self, *roles: str) -> None:
        """Nobody starts these again when they end by themselves: whether they do is what is asked."""
        self._supervised -= set(self.names(*roles))

    async def _supervise(self) -> None:
        """As whoever runs a fleet does: what has ended by itself is started again, a little later."""
        while True:
            await asyncio.sleep(SUPERVISE_S)
            for name in [name for name in self._supervised if not self.children[name].alive]:
                child = self.children[name]
                self.exits[f"{role_of(name)} ended by itself ({child.exit_code}): {child.last_lines(1)[:SAID_CHARACTERS]}"] += 1
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

    # --- what each is started with

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
