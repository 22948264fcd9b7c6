"""The protocol of one connection: uvicorn's HTTP/1.1 with bounds around it.

Guarantees: the head of a request comes within a time and a size, or its connection ends; so does one that is idle for long, or that does
not read its answers. So nobody can hold up others by doing nothing. What two readers could take for different requests (two lengths, a
length and chunks, a folded header) is refused. Requests are answered in their order, also when one of them makes no sense.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import NamedTuple

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from .one_piece import InOnePiece

HEAD_MAX_BYTES = 32 * 1024
HEADERS_MAX = 100
HEAD_TIMEOUT_S = 10.0
IDLE_S = 75.0
LINGER_S = 0.5
UNREAD_S, UNREAD_BYTES = 30.0, 64 * 1024
"""Who reads less than this of its answers in that time is cut off."""
WITH_BODY: dict[str, dict[object, object]] = {"jetfleet.body": {}}
"""The extension of a scope whose request is here with all of its body: nobody has to look at the clock while it is read."""
_silent = logging.Logger("jetfleet.webhook", logging.CRITICAL + 1)
"""What uvicorn would log about bad requests anybody could fill a disk with."""


@dataclass(slots=True)
class Bounds:
    """Of all connections of a server."""

    head_timeout_s: float
    connections_max: int


class Fault(NamedTuple):
    """Why a connection ends: the status, code and message that its caller gets."""

    status: int
    code: str
    message: str


_NO_HTTP = Fault(400, "BAD_REQUEST", "this is no HTTP/1.1 request")
_NO_HOST = Fault(400, "BAD_REQUEST", "a request of HTTP/1.1 must have one header Host")
_TOO_LARGE = Fault(431, "HEAD_TOO_LARGE", f"the head has more than {HEAD_MAX_BYTES:,} bytes or {HEADERS_MAX} headers")
_TRAILER_TOO_LARGE = Fault(431, "HEAD_TOO_LARGE", f"more than {HEAD_MAX_BYTES:,} bytes came around a part of the body")
_CODED = Fault(501, "TRANSFER_CODING", "of transfer codings only `chunked` is known here, and that with HTTP/1.1")
_BUSY = Fault(503, "BUSY", "too many connections: try again later")


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, config: Config, state: ServerState, bounds: Bounds) -> None:
        super().__init__(config, state, {})
        self.logger = _silent
        self._bounds = bounds
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        self._in_head = self._progress = False
        self._idle_bytes = 0
        """That came since a head began, or since the last bytes of a body."""
        self._unanswered = 0
        """Requests whose head was understood."""
        self._fault = _NO_HTTP
        self._last_words = b""
        self._ended = False
        self._staying = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(InOnePiece(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) > self._bounds.connections_max:
            self._end(_BUSY)
            return
        self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        self._unset_keepalive_if_required()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._ended or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self._progress = False
        self._feed(data)
        self._idle_bytes = 0 if self._progress else self._idle_bytes + len(data)  # if so, it may belong to what was before
        if self._idle_bytes > HEAD_MAX_BYTES:
            self._end(_TOO_LARGE if self._in_head else _TRAILER_TOO_LARGE)
        if self._is_busy():
            self._drop_deadline()
        elif self._deadline is None and self.timeout_keep_alive_task is None:
            self._set_deadline()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Who has said all that it wants to say may still wait for the answer."""
        if not self._unanswered or self._in_head or self.cycle.more_body:
            return False
        self.cycle.keep_alive = False
        return True

    # --- what the parser finds

    def on_message_begin(self) -> None:
        if self._staying:
            return
        self._in_head = self._progress = True
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self._in_head:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # not behind a body: there anybody could add to what a proxy has looked at
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._staying:
            return
        fault = _fault_of(self.parser.get_http_version(), self.url, self.headers)
        if fault is not None:
            self._fault = fault
            raise ValueError(fault.message)
        super().on_headers_complete()
        self._in_head = False
        self._unanswered += 1

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade() and not self._staying:
            return  # its body, if it has one, is still to come
        self._staying = False
        self._progress = True
        self.scope["extensions"] = WITH_BODY
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        super().on_response_complete()
        if self._last_words and not self._unanswered:
            self._say_last_words()

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
                self._end(self._fault)
                return

    def _stay(self) -> None:
        """A caller offers another protocol, as some clients do with every request. The parser stops behind such a head, body or not; so
        another one, made to believe it has read it, reads on: we stay with HTTP/1.1, as we may."""
        frame = [name + b": " + value + b"\r\n" for name, value in self.headers if name in (b"content-length", b"transfer-encoding")]
        self.parser = HttpRequestParser(self)
        self._staying = True
        self.parser.feed_data(b"".join((b"POST / HTTP/1.1\r\n", *frame, b"\r\n")))

    # --- who is too slow

    def _is_busy(self) -> bool:
        """Whether a request is complete as far as its head goes, and not answered."""
        return not self._in_head and self._unanswered > 0

    def _set_deadline(self) -> None:
        self._deadline = self.loop.call_later(self._bounds.head_timeout_s, self._too_slow)

    def _drop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self._unanswered:
            self._set_deadline()  # an earlier request is being answered, and what follows it is not read meanwhile
        elif self._in_head:
            self._end(Fault(408, "TOO_SLOW", f"the request did not come within {self._bounds.head_timeout_s:g} s"))
        else:
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _watch_reading(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(UNREAD_S, self._look_at_reading, left)

    def _look_at_reading(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < UNREAD_BYTES:
            self.transport.abort()
        else:
            self._watch_reading()

    # --- the end

    def _end(self, fault: Fault) -> None:
        """The last words on this connection, behind the answers to what was asked before."""
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        self._drop_deadline()
        self._last_words = _written(fault)
        self._fault = fault
        if self._forgets_request() and not self._unanswered:
            self._say_last_words()

    def _forgets_request(self) -> bool:
        """The request whose body makes no sense gets no answer of its own. False: it has one already, and nothing may follow that."""
        broken = self.cycle
        if self._in_head or not self._unanswered or not broken.more_body:
            return True
        if broken.response_started:
            self.transport.close()
            return False
        if self.pipeline:
            self.pipeline.popleft()
        self._unanswered -= 1
        broken.disconnected = True
        broken.message_event.set()
        return True

    def _say_last_words(self) -> None:
        """What still comes is read for a moment: who is cut off while it sends may not see them."""
        if self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        self.transport.write(self._last_words)
        if self._fault.status in (400, 431, 501):
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()


def _fault_of(version: str, url: bytes, headers: list[tuple[bytes, bytes]]) -> Fault | None:
    """What is wrong with a head that could be read."""
    names = [name for name, _ in headers]
    if len(url) + sum([len(name) + len(value) for name, value in headers]) > HEAD_MAX_BYTES or len(names) > HEADERS_MAX:
        return _TOO_LARGE
    if version != "1.1":
        if version != "1.0":
            return _NO_HTTP
        return _CODED if b"transfer-encoding" in names else None
    if names.count(b"host") != 1:
        return _NO_HOST
    codings = [value.lower() for name, value in headers if name == b"transfer-encoding"]
    return None if codings in ([], [b"chunked"]) else _CODED


def _written(fault: Fault) -> bytes:
    body = msgspec.json.encode({"error": {"code": fault.code, "message": fault.message}})
    lines = [
        f"HTTP/1.1 {fault.status} {HTTPStatus(fault.status).phrase}",
        "content-type: application/json",
        f"content-length: {len(body)}",
        "connection: close",
    ]
    if fault.status == 503:
        lines.append("retry-after: 1")
    return "\r\n".join([*lines, "", ""]).encode() + body
