"""The connection of a process to the broker: opened once, kept alive for ever, closed at the end.

It comes back by itself after every cut, for as long as the process lives. While it is cut, nothing is kept for later: `send` raises, and
what was written but had not left is thrown away. (Bytes that the kernel has taken may still arrive: a cut is never a promise that
something did *not* happen.) A dead peer is noticed within 3 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

import structlog

from ...schemas.errors import UsageError
from .errors import (
    BrokerError,
    ConnectionClosed,
    NoJetStream,
    NoResponders,
    NotAuthorized,
    Refused,
    ServerTooOld,
    Unknown,
    Unreachable,
    too_large,
)
from .inbox import Inbox
from .message import Message
from .publisher import Publisher
from .streams import Streams
from .wire import Wire, encode_publish

SERVER_MIN = (2, 12, 0)
OPEN_S, CONNECT_S = 5.0, 2
PING_S, PINGS_UNANSWERED_MAX = 1, 2
RECONNECT_WAIT_S = 0.1
_ASK_AGAIN_S = 0.1
_log = structlog.get_logger(__name__)


class Subscription:
    """Interest in a subject, until `stop`."""

    def __init__(self, wire: Wire, sid: int) -> None:
        self._wire, self._sid = wire, sid

    async def stop(self) -> None:
        """End it. What the server sent before it knew is handed over before this returns, and nothing after."""
        self._wire.unlisten(self._sid)
        await self._wire.settled()
        self._wire.forget(self._sid)

    def drop(self) -> None:
        """End it at once; messages under way are lost."""
        self._wire.unlisten(self._sid)
        self._wire.forget(self._sid)


class Connection:
    """Made by `open`. `on_disconnect` and `on_reconnect` are lists of listeners, called in order; one that raises does not stop the others.

    `publisher` publishes to streams, `streams` manages and reads them.
    """

    publisher: Publisher
    streams: Streams

    def __init__(self, name: str, url: str) -> None:
        self.name, self.url = name, url
        self.on_disconnect: list[Callable[[], None]] = []
        self.on_reconnect: list[Callable[[], Awaitable[None] | None]] = []
        self._wire = Wire(self._lost)
        self._closed = False
        self._last_error: Exception | None = None

    @classmethod
    async def open(cls, url: str | Sequence[str], *, name: str, credentials: str | None = None) -> Connection:
        """Connect, and make sure that the server can do what is needed. `credentials`: the path of a .creds file.

        Raises Unreachable after 5 s, NotAuthorized, ServerTooOld, NoJetStream; UsageError for an url or file that is none.
        """
        urls = _checked([url] if isinstance(url, str) else list(url))
        connection = cls(name, ", ".join(without_password(each) for each in urls))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + OPEN_S
        try:
            await connection._connect(urls, credentials)
            connection._inbox = Inbox(connection._wire)
            connection.publisher = Publisher(connection)
            connection.streams = Streams(connection)
            connection._check_version()
            await connection._check_jetstream(deadline)
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def server_version(self) -> str:
        return str(self._wire._server_info.get("version", "0"))

    @property
    def max_payload(self) -> int:
        """The most bytes, headers included, that the server takes in one message."""
        return int(self._wire.max_payload)

    @property
    def is_connected(self) -> bool:
        return bool(self._wire.is_connected)

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what was written, then close. Publishes that are not acknowledged end with ConnectionClosed."""
        if self._closed:
            return
        self._closed = True
        if hasattr(self, "publisher"):
            self.publisher.close()
        await self._wire.settled()
        with contextlib.suppress(Exception):
            await self._wire.close()

    # --- messages that are not stored

    async def send(self, subject: str, payload: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Publish, at most once. Raises Unknown (not done) while disconnected, ConnectionClosed, PayloadTooLarge."""
        command, size = encode_publish(subject, payload, reply, headers)
        if size > self.max_payload:
            raise too_large(subject, size, self.max_payload)
        self.write(command, subject)

    async def subscribe(self, subject: str, handle: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Call `handle`, a plain function that must not block, for every message; after a reconnect too. `queue`: share them with others."""
        self._check_open()
        return self.listen(subject, handle, queue)

    async def request(self, subject: str, payload: bytes = b"", *, timeout_s: float = 2.0) -> Message:
        """Ask, and wait for the first answer. Raises NoResponders at once if nobody listens, Unknown after `timeout_s`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message | None] = loop.create_future()
        token = self._inbox.expect(lambda message: None if answer.done() else answer.set_result(message))
        timer = loop.call_later(timeout_s, lambda: None if answer.done() else answer.set_result(None))
        try:
            await self.send(subject, payload, reply=self._inbox.address(token))
            message = await answer
        finally:
            timer.cancel()
            self._inbox.forget(token)
        if message is None:
            raise Unknown(f"no answer on {subject!r} within {timeout_s:g} s; it may still be carried out")
        if message.status == 503:
            raise NoResponders(subject)
        return message

    # --- for the other files of this package

    def write(self, command: bytes, subject: str) -> None:
        if not self._wire.write(command):
            self._check_open()
            raise Unknown(
                f"not connected to {self.url}: nothing was sent to {subject!r}; try again once the server is back", maybe_done=False
            )

    def try_write(self, command: bytes) -> bool:
        return self._wire.write(command)

    def listen(self, subject: str, handle: Callable[[Message], None], queue: str = "") -> Subscription:
        return Subscription(self._wire, self._wire.listen(subject, handle, queue))

    @property
    def inbox(self) -> Inbox:
        return self._inbox

    # --- opening

    async def _connect(self, urls: list[str], credentials: str | None) -> None:
        if credentials is not None and not Path(credentials).is_file():
            raise UsageError(f"there is no credentials file {credentials}: give the path of a .creds file")
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_error = lambda error: None if refused.done() or not _is_authorization(error) else refused.set_result(None)
        connecting = asyncio.ensure_future(self._wire.connect(urls, user_credentials=credentials, **self._options()))
        try:
            await asyncio.wait({connecting, refused}, timeout=OPEN_S, return_when=asyncio.FIRST_COMPLETED)
            if refused.done():
                raise NotAuthorized(
                    f"{self.url} refused the credentials ({self._last_error}): put user and password, or a token, in the url, or give a .creds file"
                )
            if not connecting.done():
                raise Unreachable(_unreachable(self.url, self._last_error))
            self._raise_opening(connecting)
        finally:
            self._on_error = lambda error: None
            connecting.cancel()
            with contextlib.suppress(BaseException):
                await connecting

    def _raise_opening(self, connecting: asyncio.Future[None]) -> None:
        error = connecting.exception()
        if error is None:
            return
        if isinstance(error, ImportError):
            raise UsageError("a credentials file needs nkeys: pip install 'nats-py[nkeys]'") from None
        raise Unreachable(_unreachable(self.url, error)) from None

    def _options(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "error_cb": self._failed,
            "reconnected_cb": self._regained,
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": RECONNECT_WAIT_S,
            "connect_timeout": CONNECT_S,
            "ping_interval": PING_S,
            "max_outstanding_pings": PINGS_UNANSWERED_MAX,
            "pending_size": -1,  # nothing is kept while disconnected
        }

    def _check_version(self) -> None:
        version = tuple(int(number) for number in re.findall(r"\d+", self.server_version)[:3])
        if version < SERVER_MIN:
            wanted = ".".join(map(str, SERVER_MIN))
            raise ServerTooOld(f"the server at {self.url} is nats-server {self.server_version}: {wanted} or newer is needed; upgrade it")

    async def _check_jetstream(self, deadline: float) -> None:
        """A server that is just starting answers before its JetStream does."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                await self.streams.account()
                return
            except NoResponders:
                problem = "JetStream is not enabled"
                if loop.time() > deadline - OPEN_S + 1:  # an old hand's answer: it will not come by waiting
                    break
            except Refused as error:
                problem = error.description
                if not error.passing or loop.time() > deadline:
                    break
            except Unknown as error:
                if loop.time() > deadline:
                    raise Unreachable(_unreachable(self.url, error)) from None
            await asyncio.sleep(_ASK_AGAIN_S)
        raise NoJetStream(f"the server at {self.url} stores nothing ({problem}): start it with `-js`, or enable JetStream for the account")

    # --- told by the wire

    async def _failed(self, error: Exception) -> None:
        self._last_error = error
        self._on_error(error)
        _log.debug("connection_error", connection=self.name, error=str(error) or type(error).__name__)

    def _on_error(self, error: Exception) -> None:
        """What `open` has to know of errors; nothing later."""

    def _lost(self) -> None:
        if self._closed:
            return
        _log.info("disconnected", connection=self.name, url=self.url)
        for listener in list(self.on_disconnect):
            try:
                listener()
            except Exception:
                _log.exception("listener_failed", connection=self.name)

    async def _regained(self) -> None:
        _log.info("reconnected", connection=self.name, url=self.url)
        for listener in list(self.on_reconnect):
            try:
                waiting = listener()
                if inspect.isawaitable(waiting):
                    await waiting
            except BrokerError as error:
                _log.info("listener_failed", connection=self.name, error=str(error))
            except Exception:
                _log.exception("listener_failed", connection=self.name)

    def _check_open(self) -> None:
        if self._closed:
            raise ConnectionClosed(f"the connection {self.name!r} to {self.url} is closed")


def without_password(url: str) -> str:
    """The url as it may be shown."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _checked(urls: list[str]) -> list[str]:
    if not urls:
        raise UsageError("no server's url: give one such as nats://127.0.0.1:4222")
    for url in urls:
        try:
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            good = parts.scheme in ("nats", "tls", "ws", "wss") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
        except ValueError:
            good = False
        if not good:
            raise UsageError(f"{without_password(url)!r} is no server's url: write it as nats://host:port")
    return urls


def _is_authorization(error: Exception) -> bool:
    text = str(error).lower()
    return "authorization" in text or "authentication" in text


def _unreachable(url: str, error: Exception | None) -> str:
    reason = f" ({str(error) or type(error).__name__})" if error is not None else ""
    return f"no server answers at {url}{reason}: start one with `jetfleet server`, or give its address with --server"
