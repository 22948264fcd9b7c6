"""A fleet on this machine: an embedded server in this process, everything else in processes of its own.

    start    server ─▶ streams ─▶ coordinators, reader, workers, triggers
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

from ...broker.api import Client
from ...broker.client import Connection
from ...broker.deployment import ensure
from ...broker.fleet.membership import COORDINATOR, READER, TRIGGER, WORKER
from ...broker.server import EmbeddedServer, ServerSettings
from ...broker.topology import Topology
from ...schemas import messages, subjects
from ...schemas.errors import JetfleetError
from ...schemas.messages import Lease, Member
from .child import Child

READY_S, LOOK_S = 60.0, 0.05


class NotReady(JetfleetError):
    """Processes of the fleet were started and did not come up."""

    code = "FLEET_NOT_READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetSettings:
    """`data` None: a temporary folder that goes with the fleet. `nodes`: modules and files of own nodes, for the workers.

    `reload`: workers start anew when these change. `log_level`: the least that the processes log. `arena`: options of the workers about it.
    `triggers`: whether there is a process for triggers; `arena_folder`: what it is told of the arena.
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
            await self._ready(deployed.partitions)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
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
        settings, data = self.settings, str(self.server.data)
        watched = ("--data", data, "--log-level", settings.log_level, "--log-format", "pretty")
        nodes = [word for source in settings.nodes for word in ("--nodes", source)]
        queues = [word for queue in settings.queues for word in ("--queue", queue)]
        arena = [] if settings.arena_folder is None else ["--arena", str(settings.arena_folder)]
        reload = ["--reload"] if settings.reload else []
        roles = [
            (COORDINATOR, settings.coordinators, watched),
            (READER, 1, watched),
            (WORKER, settings.workers, (*watched, *nodes, *queues, *reload, *settings.arena)),
            (TRIGGER, int(settings.triggers), ("serve", *watched, *arena)),
        ]
        names = [(role, _name(role, number, count), args) for role, count, args in roles for number in range(1, count + 1)]
        width = max(len(name) for _, name, _ in names)
        return [Child(name, (role, *args), {"JETFLEET_NATS": self.server.url}, width) for role, name, args in names]

    # --- readiness

    async def _ready(self, partitions: int) -> None:
        deadline = time.monotonic() + READY_S
        while missing := await self._missing(partitions):
            if time.monotonic() > deadline:
                raise NotReady(f"after {READY_S:g} s {missing}; the log of the processes says why (--log-level info says more)")
            await asyncio.sleep(LOOK_S)

    async def _missing(self, partitions: int) -> str:
        """What is not there yet."""
        streams = self.client.connection.streams
        members = [messages.decode(Member, each.data) for each in await streams.last_of_each(subjects.FLEET, subjects.member(">"))]
        pids = {member.pid: member.id for member in members if not member.leaving}
        silent = [child.name for child in self.children if child.pid not in pids]
        if silent:
            return f"{', '.join(silent)} did not come up"
        leases = [messages.decode(Lease, each.data) for each in await streams.last_of_each(subjects.FLEET, "lease.>")]
        owned = sum(lease.owner in pids.values() for lease in leases)
        return "" if owned == partitions else f"{partitions - owned} of {partitions} partitions have no owner"


def _name(role: str, number: int, count: int) -> str:
    return role if count == 1 else f"{role}-{number}"
