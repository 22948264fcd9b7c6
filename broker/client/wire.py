"""The wire: nats-py's client, changed in the few places where a fleet needs something else. The only file that knows its inner life.

    messages     are handed to a plain function, out of the parser: no queue, no task, no slow-consumer drop between
    publishing   is a plain function: it appends to what leaves in this turn of the loop
    a cut        throws away what had not left yet. nats-py would send it after the reconnect, when the process that wrote it may
                 no longer own what it wrote about
    an error     from the server (`-ERR`) means reconnecting; nats-py would close for ever

Guarantees nothing about delivery: that is what publisher, pull and tail are for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from nats.aio.client import Client
from nats.aio.subscription import Subscription as Registration
from nats.errors import Error

from .message import Message

logging.getLogger("nats.aio.client").propagate = False  # it prints tracebacks of every refused connection
logging.getLogger("nats.aio.client").addHandler(logging.NullHandler())
_log = structlog.get_logger(__name__)
_FORBIDDEN = re.compile(r"[\s\x00]")
_FLUSH_S = 2


class Wire(Client):  # type: ignore[misc]  # nats-py has no types
    """One socket. `on_lost` is called at once when it is cut."""

    def __init__(self, on_lost: Callable[[], None]) -> None:
        super().__init__()
        self._on_lost = on_lost
        self._handlers: dict[int, Callable[[Message], None]] = {}

    # --- out

    def write(self, command: bytes) -> bool:
        """Send a protocol command in this turn of the loop. False: there is no connection, and nothing was kept."""
        if self._status != Client.CONNECTED:
            return False
        self._pending.append(command)
        self._pending_data_size += len(command)
        if self._flush_queue.empty():  # else the flusher is awake already
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())
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
        """Wait until the server has answered what was written so far, and everything it sent before was handed over."""
        if self._status != Client.CONNECTED:
            return False
        with contextlib.suppress(Error, OSError, asyncio.TimeoutError):
            await self.flush(timeout=_FLUSH_S)
            return True
        return False

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        handle = self._handlers.get(sid)
        if handle is None:
            return
        try:
            handle(Message(self, subject.decode(), reply.decode(), data, headers))
        except Exception:  # a handler's mistake must not end the loop that reads for everybody
            _log.exception("handler_failed", subject=subject.decode(errors="replace"))

    # --- a cut, and life after it

    async def _attempt_reconnect(self) -> None:
        self._drop()
        self._on_lost()
        await super()._attempt_reconnect()

    async def _connect_to_server(self, s: Any) -> None:
        self._drop()  # nats-py forgets the socket of an attempt that failed half-way
        await super()._connect_to_server(s)

    async def _process_err(self, err_msg: str) -> None:
        if "permissions violation" in err_msg:
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


def encode_publish(subject: str, payload: bytes, reply: str = "", headers: Mapping[str, str] | None = None) -> tuple[bytes, int]:
    """The command that publishes, and the bytes that count against `max_payload`. ValueError for a subject or header that cannot be sent."""
    if not subject or _FORBIDDEN.search(subject):
        raise ValueError(f"{subject!r} is no subject: it is empty or has white space in it")
    if not headers:
        return b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), len(payload), payload), len(payload)
    block = encode_headers(headers)
    size = len(block) + len(payload)
    return b"HPUB %b %b %d %d\r\n%b%b\r\n" % (subject.encode(), reply.encode(), len(block), size, block, payload), size


def encode_headers(headers: Mapping[str, str]) -> bytes:
    fields = []
    for name, value in headers.items():
        if not name or ":" in name or _FORBIDDEN.search(name) or "\r" in value or "\n" in value:
            raise ValueError(f"{name!r}: {value!r} is no header: no white space and no colon in a name, no line break in a value")
        fields.append(f"{name}: {value}\r\n")
    return f"NATS/1.0\r\n{''.join(fields)}\r\n".encode()
