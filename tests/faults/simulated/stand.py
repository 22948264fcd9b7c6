"""A simulated server in the place of the real one that the client's tests are given: the same tests, another server."""

from __future__ import annotations

from .server import SimulatedServer
from .wire import SimulatedWire


class Stand:
    """As `tests.client.servers.Server`; the server itself is made in the loop that first connects to it."""

    url = "nats://simulated:4222"

    def __init__(self) -> None:
        self._server: SimulatedServer | None = None

    def wire(self) -> SimulatedWire:
        if self._server is None:
            self._server = SimulatedServer()
        return self._server.wire()

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
