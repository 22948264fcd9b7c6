"""A world whose server is a cluster of three: each a process that can be killed and frozen, with a disk that can be lost or turned back.

async with cluster_world(Shape(rate=20), seed=7) as one:
    name = await one.leading()               # the server that leads most WALs
    one.kill(name)
    await one.start_again(name)
    await one.whole()                        # every stream has its copies again
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from jetfleet.broker.client import BrokerError
from jetfleet.broker.server.ports import free_port
from jetfleet.broker.server.settings import Cluster as Place
from jetfleet.broker.topology import Topology
from jetfleet.schemas import subjects

from ..fleet.clusters import SIZE, leader, whole
from .server import Server
from .shape import COORDINATOR, SERVER, Shape
from .world import World, entered

READY_S = 40
WHOLE_S = 60
LOOK_S = 0.05


class ClusterWorld(World):
    """Made by `cluster_world`. Its servers are `server-0` to `server-2`."""

    def __init__(self, shape: Shape, seed: int, folder: Path) -> None:
        super().__init__(shape, seed, folder)
        ports = [free_port() for _ in range(SIZE)]
        routes = tuple(f"nats://127.0.0.1:{port}" for port in ports)
        self.servers: dict[str, Server] = {}
        for number, port in enumerate(ports):
            name = f"{SERVER}-{number}"
            place = Place(name="faults", listen=f"127.0.0.1:{port}", routes=routes)
            self.servers[name] = Server(folder / SERVER / name, folder / f"{name}.log", name=name, cluster=place)
        self.server.url = ",".join(server.url for server in self.servers.values())
        self.topology = Topology(partitions=shape.partitions, replicas=SIZE, store_bytes=shape.store_bytes)

    # --- servers as processes

    async def start_server(self) -> None:
        """All of them; returns when they take work together."""
        for name in self.servers:
            self.children[name] = await self.servers[name].start()
        await asyncio.gather(*(self.healthy(name) for name in self.servers))

    async def start_again(self, name: str) -> None:
        if name in self.servers:
            self.children[name] = await self.servers[name].start()
        else:
            await super().start_again(name)

    async def healthy(self, name: str) -> None:
        """Wait until this one says that it takes work."""
        ends_at = time.monotonic() + READY_S
        while (await self._asked(name, "healthz")).get("status") != "ok":
            assert time.monotonic() < ends_at, f"{name} does not take work:\n{self.children[name].last_lines()}"
            await asyncio.sleep(LOOK_S)

    async def whole(self) -> None:
        """Wait until every server is up to date with all streams."""
        async with asyncio.timeout(WHOLE_S):
            while True:
                try:
                    return await whole(self.connection)
                except BrokerError:  # leaders are being elected
                    await asyncio.sleep(LOOK_S)

    # --- which of them

    async def leading(self) -> str:
        """The server that leads most WALs."""
        leads = Counter([await leader(self.connection, subjects.wal_stream(number)) for number in range(self.shape.partitions)])
        return next(name for name, _ in leads.most_common() if name in self.servers)

    async def connected(self) -> str:
        """A server that a coordinator is connected to."""
        for name in self.servers:
            found = await self._asked(name, "connz")
            if any(each.get("name") == f"jetfleet-{COORDINATOR}" for each in found.get("connections", [])):
                return name
        raise AssertionError("no coordinator is connected to any server")

    async def _asked(self, name: str, what: str) -> dict[str, Any]:
        """What a server's monitor says; nothing while it does not answer."""
        return await asyncio.to_thread(_answer, f"http://127.0.0.1:{self.servers[name].monitor_port}/{what}")

    # --- disks

    def empty_disk(self, name: str) -> None:
        shutil.rmtree(self.servers[name].data)

    def copy_disk(self, name: str) -> None:
        """As it is now, for `roll_back_disk`. The server must not run."""
        shutil.copytree(self.servers[name].data, self._copy_of(name))

    def roll_back_disk(self, name: str) -> None:
        shutil.rmtree(self.servers[name].data)
        self._copy_of(name).rename(self.servers[name].data)

    def _copy_of(self, name: str) -> Path:
        return self.servers[name].data.with_name(f"{name}.copy")


def _answer(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            found = json.load(answer)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


@asynccontextmanager
async def cluster_world(shape: Shape, seed: int = 0) -> AsyncIterator[ClusterWorld]:
    async with entered(ClusterWorld, shape, seed) as one:
        yield one
