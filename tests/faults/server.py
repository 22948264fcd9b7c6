"""The nats-server of a world: configured as `jetfleet server` configures it, killed, frozen and started again by whoever holds it."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jetfleet.broker.server import ServerSettings
from jetfleet.broker.server.binary import find_binary
from jetfleet.broker.server.config import config_text
from jetfleet.broker.server.ports import free_port

from ..fleet.children import Child, order

STORE_BYTES = 4 << 30
START_S = 60
LOOK_S = 0.005


class Server:
    """Always at the same URL. `data`: where its store lies. `inside`: the words before its command. `settings`: those of ServerSettings."""

    def __init__(self, data: Path, log: Path, *, store_bytes: int = STORE_BYTES, inside: Sequence[str] = (), **settings: Any) -> None:
        self.port, self.data, self.log = free_port("127.0.0.1"), data, log
        self.monitor_port = free_port("127.0.0.1")
        self.host = settings.get("host", "127.0.0.1")
        self.url = f"nats://{self.host}:{self.port}"
        self._inside = inside
        self.store_bytes = store_bytes
        self._settings = settings
        self.child: Child | None = None

    async def start(self) -> Child:
        """Returns when it listens."""
        self.data.mkdir(parents=True, exist_ok=True)
        binary = find_binary()
        settings = ServerSettings(**{"data": self.data, "port": self.port, "monitor_port": self.monitor_port, **self._settings})
        config = self.log.with_suffix(".conf")
        config.write_text(config_text(settings, self.data, self.store_bytes, binary.version))
        program, *words = [*self._inside, str(binary.path), "-c", str(config)]
        self.child = Child(self._settings.get("name", "server"), order(self.log, *words, program=program))
        ends_at = time.monotonic() + START_S
        while not self._listens():
            assert self.child.alive and time.monotonic() < ends_at, f"the server does not start:\n{self.child.last_lines()}"
            await asyncio.sleep(LOOK_S)
        return self.child

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((self.host, self.port)) == 0
