"""The server under the listener: uvicorn's HTTP/1.1 protocol with bounds around it, on a socket of its own.

Guarantees: the head of a request comes within a time and a size, or its connection ends; one that is idle for long is closed; beyond so
many connections each new one is told to come back later. So nobody can hold up others by doing nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
from collections.abc import Awaitable, Callable

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

HEAD_MAX_BYTES = 32 * 1024
HEADERS_MAX = 100
HEAD_TIMEOUT_S = 10.0
IDLE_S = 75.0
CONNECTIONS_MAX = 20_000
FILES_KEPT = 256
"""Open files that are left for everything else."""
BACKLOG = 2_048
LINGER_S = 0.5
_silent = logging.Logger("jetfleet.webhook", logging.CRITICAL + 1)
"""What uvicorn would log about bad requests anybody could fill a disk with."""


class Server:
    """An ASGI app behind a port."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self.head_timeout_s = HEAD_TIMEOUT_S
        self.connections_max = connections_max()
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
        return BoundedProtocol(self._config, self.state, self)


class InOnePiece:
    """A transport that writes once per turn of the loop: uvicorn writes head and body one by one, and each is a call of the system."""

    __slots__ = ("_loop", "_pieces", "_transport", "abort", "get_extra_info", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._pieces: list[bytes] = []
        self.abort, self.is_closing, self.get_extra_info = transport.abort, transport.is_closing, transport.get_extra_info
        self.pause_reading, self.resume_reading = transport.pause_reading, transport.resume_reading

    def write(self, data: bytes) -> None:
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._pieces:
            self._transport.write(b"".join(self._pieces))
            self._pieces.clear()


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, state: ServerState, server: Server) -> None:
        super().__init__(config, state, {})
        self.logger = _silent
        self._bounds = server
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = self._head_begins = False
        self._head_bytes = 0
        self._too_large = False
        self._ended = False
        self._staying = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(InOnePiece(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) > self._bounds.connections_max:
            self._end(503, "BUSY", "too many connections: try again later")
            return
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._head_begins = False
        self._feed(data)
        if self._in_head and not self._head_begins:  # what came with its first bytes may belong to requests before it
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_MAX_BYTES:
                self._too_large = True
                self.send_400_response("")
        if self._is_busy():
            self._drop_deadline()
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._set_deadline()

    def on_message_begin(self) -> None:
        if self._staying:
            return
        self._in_head, self._head_begins, self._head_bytes = True, True, 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._staying:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._staying:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._staying:
            return
        self._in_head = False
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > HEAD_MAX_BYTES or len(self.headers) > HEADERS_MAX:
            self._too_large = True
            raise ValueError("the head is too large")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and not self._staying:
            return  # its body, if it has one, is still to come
        self._staying = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        if self._too_large:
            self._end(431, "HEAD_TOO_LARGE", f"the head has more than {HEAD_MAX_BYTES:,} bytes or {HEADERS_MAX} headers")
        else:
            self._end(400, "BAD_REQUEST", "this is no HTTP/1.1 request")

    def _feed(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest.nbytes:
            try:
                self.parser.feed_data(rest)
                return
            except HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                self._stay()
            except HttpParserError:
                self.send_400_response("")
                return

    def _stay(self) -> None:
        """A caller offers another protocol, as some clients do with every request. The parser stops behind such a head, body or not; so
        another one, made to believe it has read it, reads on: we stay with HTTP/1.1, as we may."""
        frame = [name + b": " + value + b"\r\n" for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        self.parser = HttpRequestParser(self)
        self._staying = True
        self.parser.feed_data(b"".join((b"POST / HTTP/1.1\r\n", *frame, b"\r\n")))

    def _is_busy(self) -> bool:
        """Whether a request is complete as far as its head goes, and not answered."""
        return not self._in_head and self.cycle is not None and not self.cycle.response_complete

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._bounds.head_timeout_s, self._too_slow)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._set_deadline()  # an earlier request is being answered, and what follows it is not read meanwhile
        elif self._in_head:
            self._end(408, "TOO_SLOW", f"the request did not come within {self._bounds.head_timeout_s:g} s")
        else:
            self.transport.close()

    def _end(self, status: int, code: str, message: str) -> None:
        """The last words on this connection. What still comes is read for a moment: who is cut off while it sends may not see them."""
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        body = msgspec.json.encode({"error": {"code": code, "message": message}})
        lines = [
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "content-type: application/json",
            f"content-length: {len(body)}",
            "connection: close",
        ]
        if status == 503:
            lines.append("retry-after: 1")
        self._drop_deadline()
        self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        if status in (400, 431):
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()


_REASONS = {400: "Bad Request", 408: "Request Timeout", 431: "Request Header Fields Too Large", 503: "Service Unavailable"}


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
