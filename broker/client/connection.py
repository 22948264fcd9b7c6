"""The connection of a process to the broker: opened once, kept alive for ever, closed at the end.

It comes back by itself after every cut, for as long as the process lives. While it is cut, nothing is kept for later: `send` raises, and
what was written but had not left is thrown away. (Bytes that the kernel has taken may still arrive: a cut is never a promise that
something did *not* happen.) A dead peer is noticed within 3 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType

import structlog

from ..credentials import NOTHING_SAID, Credentials, of
from .errors import BrokerError, ConnectionClosed, Denied, NoResponders, Unknown, too_large
from .group import Group
from .inbox import Inbox
from .message import Message
from .opening import check, checked_urls, connect, without_password
from .publisher import Publisher
from .streams import Streams
from .wire import Wire, encode_publish

_log = structlog.get_logger(__name__)
DENIED_REMEMBERED_MAX = 1_000
_OWN_INBOX = "answers come to an inbox that is the user's own: say which by --inbox or JETFLEET_INBOX"


class Subscription:
    """Interest in a subject, until `stop`."""

    def __init__(self, wire: Wire, sid: int) -> None:
        self._wire, self._sid = wire, sid

    async def stop(self) -> None:
        """End it. What the server sent before it knew is handed over before this returns, and nothing after."""
        self._wire.unlisten(self._sid)
        try:
            await self._wire.settled()
        finally:
            self._wire.forget(self._sid)

    def drop(self) -> None:
        """End it at once; messages under way are lost."""
        self._wire.unlisten(self._sid)
        self._wire.forget(self._sid)


class Connection:
    """Made by `open`. `publisher` publishes to streams, `streams` manages and reads them.

    `on_disconnect` and `on_reconnect` are lists of listeners, called in order; one that raises does not stop the others.
    """

    def __init__(self, wire: Wire, name: str, url: str, credentials: Credentials = NOTHING_SAID) -> None:
        self.name, self.url, self.credentials = name, url, credentials
        self.on_disconnect: list[Callable[[], None]] = []
        self.on_reconnect: list[Callable[[], Awaitable[None] | None]] = []
        self._wire = wire
        self._closed = False
        self._deaf: Denied | None = None
        """Why no answer can reach this process; None: one can."""
        self._told_denied: set[str] = set()
        wire.on_denied = self._on_denied
        wire.on_lost, wire.on_regained, wire.on_error = self._lost, self._regained, self._failed
        self.inbox = Inbox(wire, credentials.inbox)
        self.publisher = Publisher(self)
        self.streams = Streams(self)
        self._groups: dict[str, Group] = {}

    @classmethod
    async def open(cls, url: str | Sequence[str], *, name: str, credentials: Credentials | str | None = None) -> Connection:
        """Connect, and make sure that the server can do what is needed. `credentials`: what is said there, or the path of a .creds file.

        Raises Unreachable after 5 s (15 s for a cluster without a leader), NotAuthorized, NotTrusted, ServerTooOld, NoJetStream; UsageError
        for an url or file that is none.
        """
        urls, credentials = checked_urls(url), of(credentials)
        wire = Wire()
        try:
            await connect(wire, urls, name, credentials)
            connection = cls(wire, name, ", ".join(map(without_password, urls)), credentials)
            await check(connection)
        except BaseException:
            with contextlib.suppress(Exception):
                await wire.close()
            raise
        return connection

    @property
    def server_version(self) -> str:
        return self._wire.server_version

    @property
    def server_name(self) -> str:
        """Of the server that it is connected to, or was last."""
        return self._wire.server_name

    @property
    def is_clustered(self) -> bool:
        """Whether the server is one of several, where a leader may have to be elected before a question is answered."""
        return self._wire.is_clustered

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
        for group in self._groups.values():
            group.close()
        self.publisher.close()
        await self._wire.settled()
        with contextlib.suppress(Exception):
            await self._wire.close()

    def group(self, stream: str) -> Group:
        """Of those who store many single messages in this stream at a time."""
        found = self._groups.get(stream)
        if found is None:
            found = self._groups[stream] = Group(self)
            if self._closed:
                found.close()
        return found

    # --- messages that are not stored

    async def send(self, subject: str, payload: bytes = b"", *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Publish, at most once. Raises Unknown (not done) while disconnected, ConnectionClosed, PayloadTooLarge, UsageError."""
        command, size = encode_publish(subject, payload, reply, headers)
        if size > self.max_payload:
            raise too_large(subject, size, self.max_payload)
        if not self._wire.write(command):
            self._check_open()
            raise Unknown(f"not connected to {self.url}: nothing was sent to {subject!r}; try again when it is back", maybe_done=False)

    async def subscribe(self, subject: str, handle: Callable[[Message], None], *, queue: str = "") -> Subscription:
        """Call `handle`, a plain function that must not block, for every message; after a reconnect too.

        `queue`: each message goes to one of those who name the same.
        """
        self._check_open()
        return self.listen(subject, handle, queue)

    async def request(self, subject: str, payload: bytes = b"", *, timeout_s: float = 2.0) -> Message:
        """Ask, and wait for the first answer. Raises NoResponders at once if nobody listens, Denied if this user may not ask there, Unknown
        after `timeout_s`, or a cut."""
        answer: asyncio.Future[Message | None] = asyncio.get_running_loop().create_future()

        def told(message: Message | None = None) -> None:
            if not answer.done():
                answer.set_result(message)

        if self._deaf is not None:
            raise self._deaf.with_traceback(None)  # else it would remember everybody who has asked
        token = self.inbox.expect(told, told, subject)
        timer = asyncio.get_running_loop().call_later(timeout_s, told)
        try:
            await self.send(subject, payload, reply=self.inbox.address(token))
            message = await answer
        finally:
            timer.cancel()
            denied = self.inbox.forget(token)
        if denied is not None:
            raise denied
        if message is None:
            raise Unknown(f"no answer on {subject!r} within {timeout_s:g} s, or it was cut off; it may still be carried out")
        if message.status == 503:
            raise NoResponders(subject)
        return message

    # --- for the other files of this package

    def try_write(self, command: bytes) -> bool:
        """Send a protocol command. False: there is no connection, and nothing was kept."""
        return self._wire.write(command)

    def listen(self, subject: str, handle: Callable[[Message], None], queue: str = "") -> Subscription:
        return Subscription(self._wire, self._wire.listen(subject, handle, queue))

    # --- told by the wire

    def _failed(self, error: Exception) -> None:
        _log.debug("connection_error", connection=self.name, error=str(error) or type(error).__name__)

    def _on_denied(self, subject: str, listening: bool) -> None:
        """Tell whoever waits there. Nobody may: then the log is the only place."""
        deaf = listening and subject.startswith(f"{self.credentials.inbox.lower()}.")
        error = Denied(subject, listening=listening, name=self.name, hint=_OWN_INBOX if deaf else "")
        if deaf:
            self._deaf = error
        if deaf or not listening:
            self.inbox.deny(error, None if deaf else subject)
            self.publisher.deny(error, None if deaf else subject)
        self._tell_denied(error)

    def _tell_denied(self, error: Denied) -> None:
        """Once for each subject: who may not, may try often."""
        first = error.subject not in self._told_denied
        if len(self._told_denied) < DENIED_REMEMBERED_MAX:
            self._told_denied.add(error.subject)
        tell = _log.warning if first else _log.debug
        tell("denied", connection=self.name, subject=error.subject, listening=error.listening, hint=error.hint)

    def _lost(self) -> None:
        self._deaf = None  # perhaps the next server, or this one with another configuration, allows it
        _log.info("disconnected", connection=self.name, url=self.url)
        self.inbox.cut()
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
