"""A cluster of three servers on this machine, each of which tests kill and start again at its old port."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from jetfleet.broker.client import Connection
from jetfleet.broker.server import ServerSettings
from jetfleet.broker.server.ports import free_port
from jetfleet.broker.server.settings import Cluster as Place

from .background import BackgroundServer

SIZE = 3
LOOK_AGAIN_S = 0.05


class Cluster:
    """`url`: of all its servers, with commas between them. `servers`: by their names."""

    def __init__(self, folder: Path) -> None:
        ports = [free_port() for _ in range(SIZE)]
        routes = tuple(f"nats://127.0.0.1:{port}" for port in ports)
        self.servers: dict[str, BackgroundServer] = {}
        for number, port in enumerate(ports):
            place = Place(name="tests", listen=f"127.0.0.1:{port}", routes=routes)
            settings = ServerSettings(data=folder / f"n{number}", port=0, restarts=0, name=f"n{number}", cluster=place)
            self.servers[settings.name] = BackgroundServer(settings)

    def start(self) -> None:
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(BackgroundServer.start, self.servers.values()))

    def stop(self) -> None:
        with ThreadPoolExecutor(SIZE) as pool:
            list(pool.map(BackgroundServer.stop, self.servers.values()))

    @property
    def url(self) -> str:
        return ",".join(server.url for server in self.servers.values())

    def kill(self, name: str) -> None:
        """As `kill -9`."""
        self.servers[name].kill()

    async def restart(self, name: str) -> None:
        await asyncio.to_thread(self.servers[name].restart)


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        one = Cluster(folder)
        stack.callback(one.stop)
        one.start()
        yield one


async def leader(connection: Connection, stream: str) -> str:
    """The name of the server that leads the stream; "" while there is none."""
    info = await connection.streams.stream_info(stream)
    assert info is not None
    return str(info["cluster"].get("leader", ""))


async def give_lead(connection: Connection, stream: str, server: str) -> None:
    """Make this server the leader of the stream."""
    wish = json.dumps({"placement": {"preferred": server}}).encode()
    while await leader(connection, stream) != server:
        await connection.request(f"$JS.API.STREAM.LEADER.STEPDOWN.{stream}", wish)
        await asyncio.sleep(LOOK_AGAIN_S)


async def whole(connection: Connection) -> None:
    """Wait until every server is up to date with all streams."""
    for stream in await connection.streams.names():
        while not await _is_whole(connection, stream):
            await asyncio.sleep(LOOK_AGAIN_S)


async def _is_whole(connection: Connection, stream: str) -> bool:
    info = await connection.streams.stream_info(stream)
    assert info is not None
    others = info["cluster"].get("replicas", [])
    return bool(info["cluster"].get("leader")) and all(other["current"] and not other.get("offline") for other in others)
