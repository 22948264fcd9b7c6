"""A cluster of three nats-servers on this machine, and who it is for whom: the streams that each leads, the processes that each serves."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from jetfleet.broker.client import BrokerError, Connection, Unreachable
from jetfleet.broker.deployment import ensure
from jetfleet.broker.server import ServerSettings, monitor
from jetfleet.broker.server.binary import find_binary
from jetfleet.broker.server.config import config_text
from jetfleet.broker.server.settings import Cluster as Place
from jetfleet.broker.topology import Topology

from .processes import Process, Processes, free_port, listening

SIZE = 3
STORE_BYTES = 10 << 30
LOOK_S = 0.02


@dataclass(slots=True)
class Server:
    settings: ServerSettings
    process: Process

    @property
    def monitor_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.monitor_port}"


class Cluster:
    """The servers write to disk before they acknowledge. `url`: of all of them, with commas between."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self.servers: dict[str, Server] = {}
        self.url = ""

    async def start(self) -> None:
        """With a deployment that has a copy of everything on each server."""
        places = [free_port() for _ in range(SIZE)]
        routes = tuple(f"nats://127.0.0.1:{port}" for port in places)
        for number, port in enumerate(places):
            place = Place(name="benchmark", listen=f"127.0.0.1:{port}", routes=routes)
            settings = ServerSettings(name=f"server-{number}", port=free_port(), monitor_port=free_port(), cluster=place)
            self.servers[settings.name] = Server(settings, self._launch(settings))
        for server in self.servers.values():
            await listening(server.settings.port)
        self.url = ",".join(f"nats://127.0.0.1:{server.settings.port}" for server in self.servers.values())
        async with await _opened(self.url) as connection:
            await ensure(connection, Topology(replicas=SIZE))

    def kill(self, name: str) -> None:
        """`kill -9`."""
        self._processes.kill(self.servers[name].process)

    async def restart(self, name: str) -> None:
        server = self.servers[name]
        server.process = self._launch(server.settings)
        await listening(server.settings.port)

    def _launch(self, settings: ServerSettings) -> Process:
        folder = self._processes.folder / settings.name
        folder.mkdir(exist_ok=True)
        binary, file = find_binary(), folder / "server.conf"
        file.write_text(config_text(settings, folder, STORE_BYTES, binary.version))
        return self._processes.start(settings.name, str(binary.path), "-c", str(file))

    async def serving(self, client: str) -> str:
        """The server that a process is connected to, by the name of its connection."""
        for name, server in self.servers.items():
            said = await monitor.ask(server.monitor_url, "/connz")
            if any(connection.get("name") == client for connection in said["connections"]):
                return name
        raise LookupError(f"no server serves {client}")


async def leaders(connection: Connection) -> dict[str, str]:
    """By stream the server that leads it; "" while there is none."""
    found = {}
    for stream in await connection.streams.names():
        info = await connection.streams.stream_info(stream)
        found[stream] = "" if info is None else str(info["cluster"].get("leader", ""))
    return found


async def leads_most(connection: Connection) -> str:
    """The server that leads the most WALs."""
    led = Counter(server for stream, server in (await leaders(connection)).items() if stream.startswith("WAL_"))
    return led.most_common(1)[0][0]


async def all_led(connection: Connection, without: str) -> float:
    """Wait until each stream has a leader other than this server; when that was, by the monotonic clock."""
    while True:
        try:
            if not {"", without} & set((await leaders(connection)).values()):
                return time.monotonic()
        except BrokerError:  # cut off from a server that was killed
            pass
        await asyncio.sleep(LOOK_S)


async def _opened(url: str) -> Connection:
    while True:
        try:
            return await Connection.open(url, name="benchmark")
        except Unreachable:  # the servers have yet to find each other
            await asyncio.sleep(LOOK_S)
