"""The publisher: stores messages in streams, many at a time, and each of them once.

Every message has an id. What is not acknowledged in time is sent again under the same id, and again after every reconnect, in the order in
which it was first sent; the stream drops what it has already. So a publish ends in one of three ways: stored (once), refused, or, at its
deadline, unknown. "Once" holds for as long as the stream remembers ids (its `duplicate_window`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import BrokerError, ConnectionClosed, Denied, NoResponders, Refused, Unknown, WrongSequence, refusal, too_large
from .inbox import same_subject
from .message import Message
from .wire import encode_publish

if TYPE_CHECKING:
    from .connection import Connection

ID = "Nats-Msg-Id"
RESEND_S, RESEND_MAX_S = 2.0, 8.0
NO_STREAM_S, NO_STREAM_MAX_S = 0.05, 1.0
_SWEEP_S = 0.05
_ASK_S = 2.0


class PubAck(msgspec.Struct, frozen=True):
    """Where a message is stored. `duplicate`: it was there already."""

    stream: str
    seq: int
    duplicate: bool = False


class Answer(msgspec.Struct):
    """What a stream says: a PubAck, or why there is none."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: dict[str, Any] | None = None


_decode = msgspec.json.Decoder(Answer).decode


class _Pending:
    """A message that is not acknowledged. `next_s`: when to send it again. `refusals`: how many of its `sends` stored nothing for sure."""

    __slots__ = ("command", "deadline_s", "future", "id", "next_s", "refusal", "refusals", "sends", "subject")

    def __init__(self, command: bytes, subject: str, id: str, future: asyncio.Future[PubAck], deadline_s: float) -> None:
        self.command, self.subject, self.id, self.future, self.deadline_s = command, subject, id, future, deadline_s
        self.sends, self.refusals, self.next_s = 0, 0, 0.0
        self.refusal: BrokerError | None = None


class Publisher:
    """One per connection, as `connection.publisher`."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._loop = asyncio.get_running_loop()
        self._prefix = f"{connection.credentials.inbox}.{token_hex(11)}."
        self._start = len(self._prefix)
        self._next = 0
        self._ids = token_hex(8)
        self._pending: dict[str, _Pending] = {}
        self._looking: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._cut = self._closed = False
        connection.listen(f"{self._prefix}*", self._on_answer)
        connection.on_disconnect.append(self._on_disconnect)
        connection.on_reconnect.append(self._on_reconnect)

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        id: str | None = None,
        headers: Mapping[str, str] | None = None,
        expect_last_subject_seq: int | None = None,
        expect_last_seq: int | None = None,
        deadline_s: float = 30,
    ) -> PubAck:
        """Store a message. `id`: the same id is stored once. `expect_…`: only if that is the last sequence (0: there is none).

        Raises Refused or one of its kinds at once; Unknown (NoResponders if no stream takes the subject) after `deadline_s`.
        """
        expected = dict(headers or {})
        if expect_last_subject_seq is not None:
            expected["Nats-Expected-Last-Subject-Sequence"] = str(expect_last_subject_seq)
        if expect_last_seq is not None:
            expected["Nats-Expected-Last-Sequence"] = str(expect_last_seq)
        return await self.submit(subject, payload, id=id, headers=expected, deadline_s=deadline_s)

    def submit(
        self, subject: str, payload: bytes, *, id: str | None = None, headers: Mapping[str, str] | None = None, deadline_s: float = 30
    ) -> asyncio.Future[PubAck]:
        """As `publish`, without waiting: the future has the result or the error. Messages leave in the order of the calls."""
        future: asyncio.Future[PubAck] = self._loop.create_future()
        self._next += 1
        token = str(self._next)
        id = id or f"{self._ids}-{token}"
        command, size = encode_publish(subject, payload, self._prefix + token, {**headers, ID: id} if headers else {ID: id})
        pending = _Pending(command, subject, id, future, self._loop.time() + deadline_s)
        if self._closed:
            _fail(future, ConnectionClosed(f"the connection is closed: nothing was published to {subject!r}"))
        elif size > self.connection.max_payload:
            _fail(future, too_large(subject, size, self.connection.max_payload))
        else:
            self._pending[token] = pending
            self._send(pending)
            if self._timer is None:
                self._timer = self._loop.call_later(_SWEEP_S, self._sweep)
        return future

    def new_id(self) -> str:
        """An id that no other message has, for who sends the same message more than once."""
        self._next += 1
        return f"{self._ids}-{self._next}"

    def close(self) -> None:
        """Ends everything that is not acknowledged with ConnectionClosed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for task in self._looking:
            task.cancel()
        pending, self._pending = self._pending, {}
        for each in pending.values():
            _fail(
                each.future,
                ConnectionClosed(f"closed before {each.subject!r} acknowledged a message", maybe_done=each.sends > each.refusals),
            )

    def deny(self, error: Denied, subject: str | None) -> None:
        """This user may not publish there (None: may not hear of it): all that waits for this subject ends so."""
        for token, pending in list(self._pending.items()):
            if subject is None or same_subject(pending.subject, subject):
                del self._pending[token]
                _fail(pending.future, error if pending.sends == 1 else error.perhaps())

    # --- sending

    def _send(self, pending: _Pending) -> None:
        if not self._cut and self.connection.try_write(pending.command):
            pending.next_s = self._loop.time() + min(RESEND_S * (pending.sends + 1), RESEND_MAX_S)
            pending.sends += 1
        else:
            pending.next_s = float("inf")  # until the reconnect

    def _on_disconnect(self) -> None:
        self._cut = True

    def _on_reconnect(self) -> None:
        """Everything again, before anything new: what was submitted since the cut has waited, so the order stays."""
        self._cut = False
        for pending in self._pending.values():
            if not pending.future.done():  # a cancelled one must not leave any more
                self._send(pending)

    def _sweep(self) -> None:
        """Send again what waited long enough; give up what waited too long."""
        now = self._loop.time()
        for token, pending in list(self._pending.items()):
            if pending.future.done():  # cancelled by who waited for it
                del self._pending[token]
            elif now >= pending.deadline_s:
                del self._pending[token]
                _fail(pending.future, self._out_of_time(pending))
            elif now >= pending.next_s:
                self._send(pending)
        self._timer = self._loop.call_later(_SWEEP_S, self._sweep) if self._pending else None

    def _out_of_time(self, pending: _Pending) -> BrokerError:
        if pending.refusal is not None and pending.refusals == pending.sends:
            return pending.refusal
        if not pending.sends:
            return Unknown(f"not connected to {self.connection.url}: nothing was published to {pending.subject!r}", maybe_done=False)
        return Unknown(f"{pending.subject!r} did not acknowledge a message in time: it may be stored; publish it again with the same id")

    # --- answers

    def _on_answer(self, message: Message) -> None:
        token = message.subject[self._start :]
        pending = self._pending.get(token)
        if pending is None:
            return
        if message.status:
            self._postpone(
                pending, NoResponders(pending.subject, "no stream takes it; deploy the topology, or wait until the server has started")
            )
            return
        try:
            answer = _decode(message.data)
        except msgspec.MsgspecError:
            del self._pending[token]
            _fail(
                pending.future,
                Unknown(f"{pending.subject!r} was answered by something that is no stream; check which subjects your services take"),
            )
            return
        if answer.error is None:
            del self._pending[token]
            if not pending.future.done():
                pending.future.set_result(PubAck(answer.stream, answer.seq, answer.duplicate))
            return
        self._refused(token, pending, refusal(answer.error, pending.subject))

    def _refused(self, token: str, pending: _Pending, error: Refused) -> None:
        if error.passing:
            self._postpone(pending, error)
            return
        del self._pending[token]
        if isinstance(error, WrongSequence) and pending.sends > 1:
            task = self._loop.create_task(self._look(pending, error))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)
        else:
            _fail(pending.future, error)

    def _postpone(self, pending: _Pending, error: BrokerError) -> None:
        """Not stored, and nothing wrong with the message: again, a little later."""
        pending.refusal = error
        pending.refusals += 1
        pending.next_s = self._loop.time() + min(NO_STREAM_S * pending.refusals, NO_STREAM_MAX_S)

    async def _look(self, pending: _Pending, error: WrongSequence) -> None:
        """A message that was sent twice lost against its expected sequence: perhaps against itself, then the last one is ours."""
        try:
            stream = await self.connection.streams.of(pending.subject)
            last = await self.connection.streams.last(stream, pending.subject) if stream else None
        except BrokerError:
            _fail(pending.future, Unknown(f"{error}; whether that was this message itself could not be read"))
        except BaseException:  # cancelled
            _fail(pending.future, ConnectionClosed(f"closed before {pending.subject!r} acknowledged a message", maybe_done=True))
            raise
        else:
            if last is not None and last.headers.get(ID) == pending.id:
                if not pending.future.done():
                    pending.future.set_result(PubAck(stream, last.seq, True))
            else:
                _fail(pending.future, error)


def _fail(future: asyncio.Future[PubAck], error: BrokerError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # who submits without waiting does not want to read about it at exit
