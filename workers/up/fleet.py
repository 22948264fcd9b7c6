"""A fleet on this machine: an embedded server in this process, everything else in processes of its own.

    start    server ─▶ streams ─▶ coordinators, reader, workers ─▶ triggers, once a deployed flow has one that needs a process
    stop     triggers take no more ─▶ workers finish what they have in work ─▶ coordinators hand their partitions back ─▶ reader ─▶ server

Guarantees: when `start` returns, every partition has its owner and every process said that it is there. Nothing outlives this process.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ...broker.api import Client, TriggerView
from ...broker.client import Connection
from ...broker.deployment import ensure
from ...broker.fleet.membership import COORDINATOR, READER, TRIGGER, WORKER
from ...broker.server import EmbeddedServer, ServerSettings
from ...broker.topology import Topology
from ...broker.triggers.catalogue import ON_CALL, OUTSIDE
from ...schemas import messages, subjects
from ...schemas.errors import JetfleetError
from ...schemas.messages import DISABLED, Lease, Member
from .child import Child

READY_S, LOOK_S = 60.0, 0.05
SETTLE_S = 3.0
"""How long the screen waits for triggers to say whether they listen."""
NEED_A_PROCESS = frozenset(OUTSIDE) - frozenset(ON_CALL)
"""Types of triggers."""


class NotReady(JetfleetError):
    """Processes of the fleet were started and did not come up."""

    code = "FLEET_NOT_READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """`data` None: a temporary folder that goes with the fleet. `nodes`: modules and files of own nodes, for the workers.

    `reload`: workers start anew when these change. `log_level`: the least that the processes log. `arena`: options of the workers about it.
    `triggers`: whether there may be a process for triggers; `arena_folder`: what it is told of the arena.
    """

    data: Path | None
    port: int
    coordinators: int = 1
    workers: int = 1
    partitions: int | None = None
    nodes: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    reload: bool = False
    log_level: str = "warn"
    arena: tuple[str, ...] = ()
    arena_folder: Path | None = None
    triggers: bool = False


class LocalFleet:
    """`server`, `client` and `children` are there once it is started."""

    client: Client

    def __init__(self, settings: FleetSettings) -> None:
        self.settings = settings
        self.server = EmbeddedServer(ServerSettings(data=settings.data, port=settings.port))
        self.children: list[Child] = []
        self._partitions = 0
        self._triggers: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        """Raises ServerError, BrokerError, NotReady; then nothing is left behind."""
        try:
            await self.server.start()
            async with await Connection.open(self.server.url, name="jetfleet-up") as connection:
                deployed = await ensure(connection, Topology(partitions=self.settings.partitions))
            self.client = await Client.connect(self.server.url, name="jetfleet-up")
            self.children = self._children()
            await asyncio.gather(*(child.start() for child in self.children))
            self._partitions = deployed.partitions
            await self._ready()
            self.client.flows.on_change.append(self._flow_changed)
            self._flow_changed("")
        except BaseException:
            await self.stop()
            raise

    async def triggers_up(self) -> None:
        """Returns when the process for triggers is there, if a deployed flow needs one. Raises NotReady."""
        if self._triggers is not None:
            await asyncio.shield(self._triggers)

    async def trigger_views(self) -> list[TriggerView]:
        """All triggers, once those that need a process listen or say why not; at most a few seconds later."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            views = await self.client.triggers()
            if self._triggers is None or all(map(_settled, views)) or time.monotonic() > deadline:
                return views
            await asyncio.sleep(LOOK_S)

    async def stop(self) -> None:
        if self._triggers is not None:
            self._triggers.cancel()
            await asyncio.gather(self._triggers, return_exceptions=True)
        for role in (TRIGGER, WORKER, COORDINATOR, READER):
            await asyncio.gather(*(child.stop() for child in self.children if child.args[0] == role))
        if hasattr(self, "client"):
            await self.client.close()
        await self.server.stop()

    def kill(self) -> None:
        """For somebody in a hurry: the processes end at once, what they had in work is given to others next time."""
        for child in self.children:
            child.kill()

    def _children(self) -> list[Child]:
        settings, watched = self.settings, self._watched
        nodes = [word for source in settings.nodes for word in ("--nodes", source)]
        queues = [word for queue in settings.queues for word in ("--queue", queue)]
        reload = ["--reload"] if settings.reload else []
        roles = [
            (COORDINATOR, settings.coordinators, watched),
            (READER, 1, watched),
            (WORKER, settings.workers, (*watched, *nodes, *queues, *reload, *settings.arena)),
        ]
        names = [(role, _name(role, number, count), args) for role, count, args in roles for number in range(1, count + 1)]
        width = max(len(name) for _, name, _ in names)
        return [Child(name, (role, *args), {"JETFLEET_NATS": self.server.url}, width) for role, name, args in names]

    @property
    def _watched(self) -> tuple[str, ...]:
        """What all processes are told."""
        return ("--data", str(self.server.data), "--log-level", self.settings.log_level, "--log-format", "pretty")

    # --- triggers

    def _flow_changed(self, flow: str) -> None:
        """Most flows are started by calls, and need no process for that."""
        if self.settings.triggers and self._triggers is None and self._needs_triggers():
            self._triggers = asyncio.create_task(self._serve_triggers(), name="triggers of the fleet")

    def _needs_triggers(self) -> bool:
        flows = self.client.flows
        plans = [plan for name in flows.names() if (plan := flows.current(name)) is not None]
        return any(trigger.enabled and trigger.type in NEED_A_PROCESS for plan in plans for trigger in plan.triggers)

    async def _serve_triggers(self) -> None:
        folder = self.settings.arena_folder
        arena = () if folder is None else ("--arena", str(folder))
        width = max(len(child.name) for child in self.children)
        child = Child(TRIGGER, (TRIGGER, "serve", *self._watched, *arena), {"JETFLEET_NATS": self.server.url}, width)
        self.children.append(child)
        await child.start()
        await self._ready()

    # --- readiness

    async def _ready(self) -> None:
        deadline = time.monotonic() + READY_S
        while missing := await self._missing():
            if time.monotonic() > deadline:
                raise NotReady(f"after {READY_S:g} s {missing}; the log of the processes says why (--log-level info says more)")
            await asyncio.sleep(LOOK_S)

    async def _missing(self) -> str:
        """What is not there yet."""
        partitions = self._partitions
        streams = self.client.connection.streams
        members = [messages.decode(Member, each.data) for each in await streams.last_of_each(subjects.FLEET, subjects.member(">"))]
        pids = {member.pid: member.id for member in members if not member.leaving}
        silent = [child.name for child in self.children if child.pid not in pids]
        if silent:
            return f"{', '.join(silent)} did not come up"
        leases = [messages.decode(Lease, each.data) for each in await streams.last_of_each(subjects.FLEET, "lease.>")]
        owned = sum(lease.owner in pids.values() for lease in leases)
        return "" if owned == partitions else f"{partitions - owned} of {partitions} partitions have no owner"


def _settled(view: TriggerView) -> bool:
    if view.type not in NEED_A_PROCESS or view.state == DISABLED:
        return True
    return any(each.detail or each.error for each in view.served.values())


def _name(role: str, number: int, count: int) -> str:
    return role if count == 1 else f"{role}-{number}"
