"""The wire: nats-py's client, changed in the few places where a fleet needs something else. The only file that knows its inner life.

    messages     are handed to a plain function, out of the parser: no queue, no task, no slow-consumer drop between
    publishing   is a plain function: it appends to what leaves in this turn of the loop
    a cut        throws away what had not left yet. nats-py would send it after the reconnect, when the process that wrote it may
                 no longer own what it wrote about
    an error     from the server (`-ERR`) means reconnecting; nats-py would close for ever
    encryption   that was asked for is insisted on; nats-py would go on in clear, password first, with a server that has none
    a denial     names the subject that this user may not use; who waits there is told, instead of waiting

Guarantees nothing about delivery: that is what publisher, pull and tail are for.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription as Registration
from nats.errors import Error

from ...schemas.errors import UsageError
from .message import Message
from .tls import NoEncryption

logging.getLogger("nats.aio.client").propagate = False  # it prints tracebacks of every refused connection
logging.getLogger("nats.aio.client").addHandler(logging.NullHandler())
# With TLS every end of a connection makes asyncio complain about the protocol that nats-py makes for it, and nothing is wrong.
logging.getLogger("asyncio").addFilter(lambda record: "eof_received() has no effect" not in str(record.msg))
_log = structlog.get_logger(__name__)
_FORBIDDEN = re.compile(r"[\s\x00]")
_LINE_END = re.compile(r"[\r\n\x00]")
_DENIED = re.compile(r'permissions violation for (?P<what>publish|subscription)[^"]* to "(?P<subject>[^"]*)"')
"""nats-py tells what the server says in lower case, so a subject is compared without looking at the case."""
_SETTLE_S, _RETRY_S = 2.0, 0.2


class Wire(Client):
    """One socket at a time. `on_lost` is called at once when it is cut, `on_regained` when there is another."""

    def __init__(self) -> None:
        super().__init__()
        self.on_lost: Callable[[], None] = lambda: None
        self.on_regained: Callable[[], Awaitable[None]] | None = None
        self.on_error: Callable[[Exception], None] = lambda error: None
        self.on_denied: Callable[[str, bool], None] = lambda subject, listening: None
        self.must_encrypt = False
        self.last_failure: Exception | None = None
        self._handlers: dict[int, Callable[[Message], None]] = {}
        self._settling: set[asyncio.Future[bool]] = set()

    @property
    def server_version(self) -> str:
        return str(self._server_info.get("version", "0"))

    @property
    def server_name(self) -> str:
        return str(self._server_info.get("server_name", ""))

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of several that answer for one another."""
        return bool(self._server_info.get("cluster"))

    # --- out

    def write(self, command: bytes) -> bool:
        """Send a protocol command in this turn of the loop. False: there is no connection, and nothing was kept."""
        if self._status != Client.CONNECTED:
            return False
        self._pending.append(command)
        self._pending_data_size += len(command)
        queue: asyncio.Queue[asyncio.Future[None]] = self._flush_queue  # type: ignore[assignment]  # there is one once it is connected
        if queue.empty():  # else the flusher is awake already
            queue.put_nowait(asyncio.get_running_loop().create_future())
        return True

    def publish_now(self, subject: str, payload: bytes) -> bool:
        """Publish to a subject that came from the server, unchecked: acknowledgements, answers. False: not sent."""
        return bool(subject) and self.write(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload))

    # --- in

    def listen(self, subject: str, handle: Callable[[Message], None], queue: str = "") -> int:
        """Hand every message on the subject to `handle`; again after every reconnect, until `forget`."""
        self._sid += 1
        self._subs[self._sid] = Registration(self, self._sid, subject, queue=queue)  # nats-py replays these after a reconnect
        self._handlers[self._sid] = handle
        self.write(f"SUB {subject} {queue} {self._sid}\r\n".encode())
        return int(self._sid)

    def unlisten(self, sid: int) -> None:
        """Ask the server for no more. What it has sent by then still comes, until `forget`."""
        self.write(b"UNSUB %d\r\n" % sid)

    def forget(self, sid: int) -> None:
        self._subs.pop(sid, None)
        self._handlers.pop(sid, None)

    async def settled(self) -> bool:
        """Wait until the server has taken what was written so far, and all that it sent before was handed over. False: it did not."""
        if self._status != Client.CONNECTED:
            return False
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[bool] = loop.create_future()
        self._settling.add(settled)
        timer = loop.call_later(_SETTLE_S, _resolve, settled, False)
        pong = loop.create_future()  # of its own, and never cancelled: nats-py's reader dies of a pong that nobody waits for any more
        pong.add_done_callback(lambda _: _resolve(settled, True))
        try:
            self._flush_now()  # nats-py's ping goes past what waits for the flusher
            await self._send_ping(pong)
            return await settled
        finally:
            timer.cancel()
            self._settling.discard(settled)

    def _flush_now(self) -> None:
        pending, self._pending, self._pending_data_size = self._pending, [], 0
        assert self._transport is not None, "only while connected"
        self._transport.writelines(pending)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        handle = self._handlers.get(sid)
        if handle is None:
            return
        try:
            # The server takes any bytes for a subject: what is no UTF-8 is a message like others, under a name that can be shown.
            handle(Message(self, subject.decode(errors="backslashreplace"), reply.decode(), data, headers))
        except Exception:  # a handler's mistake must not end the loop that reads for everybody
            _log.exception("handler_failed", subject=subject.decode(errors="replace"))

    # --- a cut, and life after it

    async def failed(self, error: Exception) -> None:
        self.last_failure = error
        self.on_error(error)

    async def regained(self) -> None:
        if self.on_regained is not None:
            await self.on_regained()

    async def _attempt_reconnect(self) -> None:
        self._drop()
        for settling in self._settling:
            _resolve(settling, False)
        self.on_lost()
        while True:
            try:
                await super()._attempt_reconnect()
                return
            except Exception as error:  # nats-py would end its attempts for ever over what it does not expect of a peer
                await self.failed(error)
                await asyncio.sleep(_RETRY_S)

    async def _connect_to_server(self, s: Any) -> None:
        self._drop()  # nats-py forgets the socket of an attempt that failed half-way
        await super()._connect_to_server(s)

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        """Before anything is sent to the server, a password least of all."""
        encrypted = info.get("tls_required") or getattr(self._transport, "_using_tls", False)
        if initial_connection and self.must_encrypt and not encrypted:
            raise NoEncryption
        await super()._process_info(info, initial_connection)

    async def _process_err(self, err_msg: str) -> None:
        if denied := _DENIED.search(err_msg):
            self.on_denied(denied["subject"], denied["what"] == "subscription")
        elif "permissions violation" in err_msg:  # of another kind, as for a reply that is the server's own: no reason to reconnect
            await self._error_cb(Error(f"nats: {err_msg}"))
        else:
            await self._process_op_err(Error(f"nats: {err_msg}"))

    def _drop(self) -> None:
        """Throw away what had not left. `abort`, since closing politely waits for a peer that may be stopped for ever."""
        self._pending.clear()
        self._pending_data_size = 0
        writer = getattr(self._transport, "_io_writer", None)
        if writer is not None:
            writer.transport.abort()


def _resolve(future: asyncio.Future[bool], result: bool) -> None:
    if not future.done():
        future.set_result(result)


def encode_publish(subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """The command that publishes, and the bytes that count against `max_payload`.

    Raises UsageError for a subject or header that cannot be sent.
    """
    name = encode_subject(subject)
    if not headers:
        return b"PUB %b %b %d\r\n%b\r\n" % (name, reply.encode(), len(payload), payload), len(payload)
    block = encode_headers(headers)
    return encode_headed(name, reply, block, payload), len(block) + len(payload)


def encode_headed(name: bytes, reply: str, block: bytes, payload: bytes) -> bytes:
    """The command that publishes with a block of headers. `name`: the subject, encoded."""
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (name, reply.encode(), len(block), len(block) + len(payload), block, payload)


@lru_cache(maxsize=4_096)
def encode_subject(subject: str) -> bytes:
    """Checked once for each subject: white space in one would be a second command on the wire."""
    if _FORBIDDEN.search(subject) or not all(token and token not in ("*", ">") for token in subject.split(".")):
        raise UsageError(f"{subject!r} is no subject to publish on: words joined by dots, without white space and wildcards")
    return subject.encode()


def encode_headers(headers: Mapping[str, str]) -> bytes:
    """As a block with the blank line at its end. Raises UsageError."""
    fields = []
    for name, value in headers.items():
        if not name or ":" in name or _FORBIDDEN.search(name) or _LINE_END.search(value):
            raise UsageError(f"{name!r}: {value!r} is no header: no white space and no colon in a name, no line break in a value")
        fields.append(f"{name}: {value}\r\n")
    return f"NATS/1.0\r\n{''.join(fields)}\r\n".encode()
