"""The listener: one HTTP server per address, shared by all webhook triggers of the process.

An ASGI app on uvicorn's protocol, in the loop of the process. `GET /-/health` answers that it is there.

Guarantees: a caller always gets a reply, and no reply tells what went wrong inside. It closes in order: no new connections, what is being
answered is answered, then the connections end.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import structlog

from ...broker.triggers.source import SourceBroken
from ...schemas.flow.triggers.webhook import WebhookParams
from .claims import Claims
from .endpoint import Endpoint
from .protocol import HEAD_TIMEOUT_S
from .replies import Disconnected, Headers, Refusal, Reply, json_reply, unavailable
from .request import Receive, Request, Room
from .routes import PathTaken, Routes
from .server import Server

Scope: TypeAlias = Mapping[str, Any]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]

OWN_PATHS = b"/-/"
HEALTH = OWN_PATHS + b"health"
BODIES_MAX_BYTES = 256 << 20
LINGER_S, LINGER_BYTES = 1.0, 1 << 20
"""How much is still read of what a caller sends who has its reply already: one that is cut off might not see it."""
CLOSE_S = 1.0
NOT_SERVING_S = 10
"""When to come back to a trigger whose source fails."""
log = structlog.get_logger("jetfleet.triggers")


class PortTaken(SourceBroken):
    """Somebody else listens there."""

    code = "PORT_TAKEN"


class Listener:
    """`port` 0: a free one. `claims`: whose the paths are."""

    def __init__(self, host: str, port: int, claims: Claims) -> None:
        self._host, self._port, self._claims = host, port, claims
        self._routes = Routes()
        self._room = Room(BODIES_MAX_BYTES)
        self._server = Server(self._app)
        self._opening = asyncio.Lock()
        self._timeouts_s: dict[Endpoint, float] = {}  # whom a request is for is known when its head is there: the most patient one decides

    @property
    def address(self) -> tuple[str, int]:
        return self._server.address

    async def open(self) -> None:
        """Listens, unless it does. Raises PortTaken, SourceBroken."""
        async with self._opening:
            if self._server.is_open:
                return
            try:
                await self._server.open(self._host, self._port)
            except OSError as error:
                raise _cannot_listen(self._host, self._port, error) from None
            host, port = self.address
            log.info("listens for webhooks", host=host, port=port)

    def claim(self, params: WebhookParams) -> None:
        """Make sure of the path: who had it while this trigger was not deployed lets go of it. Raises PathTaken if it is another one's."""
        self._claims.require(params)
        for endpoint in self._routes.holders(params.path, params.methods):
            self.remove(endpoint)
            endpoint.lose(PathTaken(f"{params.path} belongs to a trigger that was deployed meanwhile"))

    def add(self, params: WebhookParams, endpoint: Endpoint) -> None:
        """Raises PathTaken, never after `claim`."""
        self._routes.add(params.path, params.methods, endpoint, endpoint.name)
        self._timeouts_s[endpoint] = params.read_timeout_ms / 1000
        self._server.bounds.head_timeout_s = max(self._timeouts_s.values())

    def remove(self, endpoint: Endpoint) -> None:
        self._routes.remove(endpoint)
        self._timeouts_s.pop(endpoint, None)
        self._server.bounds.head_timeout_s = max(self._timeouts_s.values(), default=HEAD_TIMEOUT_S)

    async def answered(self, endpoint: Endpoint, timeout_s: float) -> None:
        """Waits until all its requests have their answers, or the time is over."""
        end = time.monotonic() + timeout_s
        while endpoint.answering and time.monotonic() < end:
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._claims.close()
        await self._server.close(CLOSE_S)

    # --- the ASGI app

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            reply = await self._reply(scope, receive)
        except Refusal as refusal:
            reply = refusal.reply()
        except Disconnected:
            return
        except Exception:
            log.exception("a request could not be answered", path=scope["path"])
            reply = Refusal(500, "INTERNAL", "something went wrong here: try again", close=True).reply()
        await _send(reply, receive, send)

    async def _reply(self, scope: Scope, receive: Receive) -> Reply:
        method, path = scope["method"], scope["raw_path"]
        endpoint, params, allowed = self._routes.find(path, method)
        if endpoint is not None:
            reply: Reply = await endpoint.answer(Request(scope, receive, params, self._room))
            return reply
        if path.startswith(OWN_PATHS):
            return self._own(method, path)
        if self._claims.wanted(path, method):  # its source fails, or is being made anew
            raise unavailable("NOT_SERVING", "the trigger cannot take requests: send the request again later", NOT_SERVING_S, close=True)
        if not allowed:
            raise _not_found()
        return _plain(method, allowed) or _not_allowed(allowed)

    def _own(self, method: str, path: bytes) -> Reply:
        """The listener's own paths, which no trigger can have."""
        if path == HEALTH:
            return _plain(method, ["GET"]) or json_reply(200, {"status": "ok"})
        raise _not_found()


def _plain(method: str, allowed: list[str]) -> Reply | None:
    """The reply to a method that only asks about a path; None: it is another one. HEAD never fires anything."""
    if method == "OPTIONS":
        return Reply(204, b"", _allow(allowed))
    if method == "HEAD" and "GET" in allowed:
        return Reply(200, b"")
    if method in allowed:
        return None
    return _not_allowed(allowed)


def _not_found() -> Refusal:
    return Refusal(404, "NOT_FOUND", "nobody listens at this path", close=True)


def _not_allowed(allowed: list[str]) -> Reply:
    header = ("allow", _allow(allowed)[0][1].decode())
    return Refusal(405, "METHOD_NOT_ALLOWED", f"possible here: {', '.join(allowed)}", headers=[header], close=True).reply()


def _allow(allowed: list[str]) -> Headers:
    methods = {*allowed, "OPTIONS"} | ({"HEAD"} if "GET" in allowed else set())
    return ((b"allow", ", ".join(sorted(methods)).encode()),)


async def _send(reply: Reply, receive: Receive, send: Send) -> None:
    headers = [*reply.headers] if reply.status == 204 else [*reply.headers, (b"content-length", b"%d" % len(reply.body))]
    if reply.close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if not reply.close:
        await send({"type": "http.response.body", "body": reply.body})
        return
    await send({"type": "http.response.body", "body": reply.body, "more_body": True})
    await _linger(receive)
    await send({"type": "http.response.body", "body": b""})


async def _linger(receive: Receive) -> None:
    """Reads on for a while."""
    size = 0
    try:
        async with asyncio.timeout(LINGER_S):
            while size < LINGER_BYTES:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _cannot_listen(host: str, port: int, error: OSError) -> SourceBroken:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(f"{host}:{port} is taken already (`ss -ltnp` shows by which process): end it, or give the trigger another port")
    if error.errno == errno.EACCES:
        return SourceBroken(f"this process may not listen on port {port}: give the trigger one above 1023, or the process the right to")
    return SourceBroken(f"cannot listen on {host}:{port}: {error.strerror or error}; check `host` and `port` of the trigger")
