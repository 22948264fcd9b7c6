"""A simulated server in the place of the real one that the client's tests are given, and a network in the place of their proxy.

So the same tests are about another server: see `test_client_over_it.py`.
"""

from __future__ import annotations

import asyncio
from itertools import count
from random import Random
from types import TracebackType
from typing import Any

from .loop import VirtualLoop
from .server import SimulatedServer
from .wire import SimulatedWire

_ports = count(1)
_stands: dict[int, Stand] = {}


class VirtualTime(asyncio.DefaultEventLoopPolicy):
    """Loops in which nobody waits."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return VirtualLoop(Random(0))


class Stand:
    """As `tests.client.servers.Server`; the server itself is made in the loop that first connects to it."""

    def __init__(self) -> None:
        self.port = next(_ports)
        self.url = f"nats://simulated:{self.port}"
        self.through: dict[str, list[SimulatedWire]] = {}
        """Which wires were told to connect to which url."""
        self._server: SimulatedServer | None = None
        _stands[self.port] = self

    def wire(self) -> SimulatedWire:
        if self._server is None:
            loop = asyncio.get_running_loop()
            self._server = SimulatedServer(wall_ns=lambda: int(loop.time() * 1e9))
        return _Noted(self)

    @property
    def server(self) -> SimulatedServer:
        assert self._server is not None, "nobody has connected yet"
        return self._server

    def start(self) -> None:
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def restart(self) -> None:
        self.kill()
        self.start()

    def pause(self) -> None:
        self.server.stop()

    def resume(self) -> None:
        self.server.go_on()


class StandProxy:
    """As `tests.client.proxy.Proxy`."""

    def __init__(self, port: int) -> None:
        self._stand = _stands[port]
        self.url = f"nats://between:{port}"

    async def __aenter__(self) -> StandProxy:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.cut()

    @property
    def _wires(self) -> list[SimulatedWire]:
        return self._stand.through.get(self.url, [])

    def deafen(self) -> None:
        for wire in self._wires:
            if wire.link is not None:
                wire.link.impair("deaf")

    def cut(self) -> None:
        for wire in self._wires:
            if wire.link is not None:
                wire.link.cut(len(wire.link.up))

    def shut(self) -> None:
        self._stand.server.shut_out.update(self._wires)
        self.cut()

    def reopen(self) -> None:
        self._stand.server.shut_out.difference_update(self._wires)


class _Noted(SimulatedWire):
    """The stand knows where it connects to."""

    def __init__(self, stand: Stand) -> None:
        super().__init__(stand.server)
        self._stand = stand

    async def connect(self, servers: Any = None, **options: Any) -> None:
        for url in servers:
            self._stand.through.setdefault(url, []).append(self)
        await super().connect(servers, **options)
