"""The wire of a simulation: what `jetfleet.broker.client.wire.Wire` is to the client, over simulated links.

It has the surface of the real one and keeps its promises: a plain function for every message, nothing kept while there is no connection,
`on_lost` at once, `on_regained` when there is another link and everything is subscribed again. The client's code on top of it is the real
one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import structlog

from jetfleet.broker.client import Message

from .link import FIN, PING, PONG, Link

if TYPE_CHECKING:
    from .server import SimulatedServer

CONNECT_S, RETRY_S, SETTLE_S = 2.0, 0.1, 2.0
_log = structlog.get_logger(__name__)


class SimulatedWire:
    """One link at a time. `on_lost` is called at once when it is cut, `on_regained` when there is another."""

    def __init__(self, server: SimulatedServer) -> None:
        self.on_lost: Callable[[], None] = lambda: None
        self.on_regained: Callable[[], Awaitable[None]] | None = None
        self.on_error: Callable[[Exception], None] = lambda error: None
        self.last_failure: Exception | None = None
        self.name = ""
        self.link: Link | None = None
        self.closed = False
        self._server = server
        self._sid = 0
        self._subscribed: dict[int, tuple[str, str]] = {}
        self._handlers: dict[int, Callable[[Message], None]] = {}
        self._settling: deque[asyncio.Future[bool]] = deque()
        self._again: asyncio.Task[None] | None = None
        self._version = self._server_name = ""
        self.max_payload = server.max_payload

    # --- as the client sees it

    @property
    def server_version(self) -> str:
        return self._version

    @property
    def server_name(self) -> str:
        return self._server_name

    @property
    def is_clustered(self) -> bool:
        return False

    @property
    def is_connected(self) -> bool:
        return self.link is not None

    async def connect(self, servers: object = None, *, name: str = "", **_: Any) -> None:
        """Returns when there is a connection; tries for ever."""
        self.name = name
        await self._dial_until_there()
        self._server.wires[self] = None

    async def close(self) -> None:
        """What was written before still arrives."""
        self.closed = True
        link, self.link = self.link, None
        self._server.wires.pop(self, None)
        if self._again is not None:
            self._again.cancel()
        if link is not None:
            link.up.put(FIN)
            link.down.close()
            self._settle(False)

    def vanish(self) -> None:
        """The process is gone: nothing more leaves it, and nobody is told."""
        self.closed = True
        self._server.wires.pop(self, None)
        link, self.link = self.link, None
        if link is not None:
            link.vanish()

    def write(self, command: bytes) -> bool:
        """Send protocol commands. False: there is no connection, and nothing was kept."""
        if self.link is None:
            return False
        self.link.up.put(command)
        return True

    def publish_now(self, subject: str, payload: bytes) -> bool:
        return bool(subject) and self.write(b"PUB %b %d\r\n%b\r\n" % (subject.encode(), len(payload), payload))

    def listen(self, subject: str, handle: Callable[[Message], None], queue: str = "") -> int:
        self._sid += 1
        self._subscribed[self._sid] = (subject, queue)
        self._handlers[self._sid] = handle
        self.write(f"SUB {subject} {queue} {self._sid}\r\n".encode())
        return self._sid

    def unlisten(self, sid: int) -> None:
        self.write(b"UNSUB %d\r\n" % sid)

    def forget(self, sid: int) -> None:
        self._subscribed.pop(sid, None)
        self._handlers.pop(sid, None)

    async def settled(self) -> bool:
        """Wait until the server has taken what was written so far, and all that it sent before was handed over. False: it did not."""
        if self.link is None:
            return False
        loop = asyncio.get_running_loop()
        settled: asyncio.Future[bool] = loop.create_future()
        self._settling.append(settled)
        timer = loop.call_later(SETTLE_S, _resolve, settled, False)
        self.link.up.put(PING)
        try:
            return await settled
        finally:
            timer.cancel()

    async def failed(self, error: Exception) -> None:
        self.last_failure = error
        self.on_error(error)

    async def regained(self) -> None:
        if self.on_regained is not None:
            await self.on_regained()

    # --- as the link tells it

    def hear(self, thing: Any) -> None:
        if thing is PONG:
            if self._settling:
                _resolve(self._settling.popleft(), True)
            return
        sid, subject, reply, data, headers = thing
        handle = self._handlers.get(sid)
        if handle is None:
            return
        try:
            handle(Message(self, subject, reply, data, headers))  # type: ignore[arg-type]  # it only asks for `publish_now`
        except Exception:  # as in the real one: a handler's mistake must not end the reading for everybody
            _log.exception("handler_failed", subject=subject)

    def lost(self, link: Link) -> None:
        if link is not self.link:
            return
        self.link = None
        self._settle(False)
        self.on_lost()
        self._again = asyncio.get_running_loop().create_task(self._come_back())

    async def _come_back(self) -> None:
        await self._dial_until_there()
        for sid, (subject, queue) in self._subscribed.items():
            self.write(f"SUB {subject} {queue} {sid}\r\n".encode())
        await self.settled()
        await self.regained()

    async def _dial_until_there(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CONNECT_S):
                    self.link = await self._server.dial(self)
            except OSError as error:  # TimeoutError is one
                await self.failed(error)
                await asyncio.sleep(RETRY_S)
            else:
                self._version, self._server_name = self._server.version, self._server.name
                return

    def _settle(self, result: bool) -> None:
        while self._settling:
            _resolve(self._settling.popleft(), result)


def _resolve(future: asyncio.Future[bool], result: bool) -> None:
    with contextlib.suppress(asyncio.InvalidStateError):
        future.set_result(result)
