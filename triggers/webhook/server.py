"""The server under the listener: connections on a port, each with an HTTP/1.1 protocol of its own.

Guarantees: beyond so many connections each new one is told to come back later; at its end each may still get its reply.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Awaitable, Callable

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .protocol import HEAD_TIMEOUT_S, IDLE_S, BoundedProtocol, Bounds

CONNECTIONS_MAX = 20_000
FILES_KEPT = 256
"""Open files that are left for everything else."""
BACKLOG = 2_048


class Server:
    """An ASGI app behind a port."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.bounds = Bounds(HEAD_TIMEOUT_S, connections_max())
        self.state = ServerState()
        self._config = Config(
            app, interface="asgi3", http=HttpToolsProtocol, ws="none", lifespan="off", log_config=None, access_log=False,
            proxy_headers=False, server_header=False, date_header=False, timeout_keep_alive=int(IDLE_S),
        )  # fmt: skip
        self._config.load()
        self._server: asyncio.Server | None = None
        self.address: tuple[str, int] = ("", 0)

    @property
    def is_open(self) -> bool:
        return self._server is not None

    async def open(self, host: str, port: int) -> None:
        """Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, host, port, backlog=BACKLOG)
        self.address = self._server.sockets[0].getsockname()[:2]

    async def close(self, grace_s: float) -> None:
        """No new connections; those that are there end with their reply, or after the grace."""
        if self._server is None:
            return
        self._server.close()
        for each in list(self.state.connections):
            each.shutdown()
        end = asyncio.get_running_loop().time() + grace_s
        while self.state.connections and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        for each in list(self.state.connections):
            each.transport.abort()

    def _protocol(self) -> BoundedProtocol:
        return BoundedProtocol(self._config, self.state, self.bounds)


def connections_max() -> int:
    """As many as the process may have files open, with some left; the limit is raised as far as that is allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + FILES_KEPT
    if soft < wanted and (hard == resource.RLIM_INFINITY or soft < hard):
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return max(1, min(CONNECTIONS_MAX, soft - FILES_KEPT))
