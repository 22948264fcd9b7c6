"""The group: messages for one stream that leave together and are on disk with one write.

    submit ──▶ wait while others are under way ──▶ a few: one by one ──────────────────────────▶ each its PubAck
                                              ╲──▶ many: an atomic batch ──▶ stored as a whole ─╱
                                                                        ╲──▶ refused, or no answer: one by one, under the same ids

Each message stays a message of its own on the stream. Guarantees: messages are stored in the order of the calls, one flight after the
other, and once, as by the publisher. A batch is stored whole or not at all, and the server's answer is for all of it; so where it says no
(no room for all of them, an id that the stream has already) or nothing at all, each message is published by itself and learns its own fate.
Does not: keep the order of those that were refused and that somebody submits again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from .errors import ConnectionClosed, StreamFull, Unknown, refusal
from .message import Message
from .publisher import ID, Answer, PubAck
from .wire import encode_headed, encode_headers, encode_subject

if TYPE_CHECKING:
    from .connection import Connection

FEW = 16
"""So many or more leave as a batch. A batch costs the server four writes to the disk, and the files that it is laid down in first: some
3 ms together, where the disk takes 0.2 ms for a write."""
MANY = 512
BYTES_MAX, LARGE_BYTES = 1 << 20, 64 * 1024
"""Of a batch; and of a message that leaves by itself, since its bytes cost more than its write."""
ANSWER_S = 5.0
_decode = msgspec.json.Decoder(Answer).decode


class _Entry:
    """A message that is not stored. `headers` with its id, `block` the same as bytes."""

    __slots__ = ("block", "deadline_s", "future", "headers", "id", "payload", "subject")

    def __init__(
        self, subject: str, payload: bytes, id: str, headers: dict[str, str], future: asyncio.Future[PubAck], deadline_s: float
    ) -> None:
        self.subject, self.payload, self.id, self.headers = subject, payload, id, headers
        self.block = encode_headers({**headers, ID: id})
        self.future, self.deadline_s = future, deadline_s

    @property
    def size(self) -> int:
        return len(self.block) + len(self.payload)


class Group:
    """One per stream and connection, as `connection.group(stream)`: a batch is for one stream, whatever the subjects."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Entry] = deque()
        self._together: Sequence[_Entry] = ()
        """The batch that is under way."""
        self._many = MANY
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    def submit(
        self, subject: str, payload: bytes, *, id: str | None = None, headers: Mapping[str, str] | None = None, deadline_s: float = 30
    ) -> asyncio.Future[PubAck]:
        """As `Publisher.submit`: the future has the result or the error, at the latest some 5 s after `deadline_s`."""
        future: asyncio.Future[PubAck] = self._loop.create_future()
        encode_subject(subject)
        id = self._connection.publisher.new_id() if id is None else id
        entry = _Entry(subject, payload, id, dict(headers or {}), future, self._loop.time() + deadline_s)
        if self._closed:
            _fail((entry,), ConnectionClosed(f"the connection is closed: nothing was published to {subject!r}"))
            return future
        self._waiting.append(entry)
        if self._task is None:
            self._task = self._loop.create_task(self._run())
        return future

    def close(self) -> None:
        """Ends everything that is not acknowledged with ConnectionClosed."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        _fail(self._together, ConnectionClosed("closed before the stream acknowledged a batch", maybe_done=True))
        _fail(self._waiting, ConnectionClosed("the connection is closed: nothing was published"))
        self._waiting.clear()

    # --- flights, one after the other

    async def _run(self) -> None:
        try:
            while self._waiting and not self._closed:
                entries = self._cut()
                if len(entries) < FEW or not await self._stored_together(entries):
                    await self._one_by_one(entries)
        finally:
            self._task = None

    def _cut(self) -> list[_Entry]:
        """The next flight, off the front of what waits."""
        entries: list[_Entry] = []
        size, large, now = 0, min(LARGE_BYTES, self._connection.max_payload // 2), self._loop.time()
        while self._waiting and len(entries) < self._many:
            entry = self._waiting[0]
            size += entry.size
            if entries and (size > BYTES_MAX or entry.size > large):
                break
            self._waiting.popleft()
            if entry.future.done():  # who waited for it was cancelled
                size -= entry.size
            elif now >= entry.deadline_s:
                _fail((entry,), Unknown(f"those before it were not acknowledged in time: nothing was published to {entry.subject!r}",
                                        maybe_done=False))  # fmt: skip
            else:
                entries.append(entry)
                if entry.size > large:
                    break
        return entries

    async def _one_by_one(self, entries: Sequence[_Entry]) -> None:
        """Returns when the fate of each is known."""
        now, publisher = self._loop.time(), self._connection.publisher
        sent = []
        for entry in entries:
            if not entry.future.done():
                deadline_s = max(1.0, entry.deadline_s - now)
                single = publisher.submit(entry.subject, entry.payload, id=entry.id, headers=entry.headers, deadline_s=deadline_s)
                single.add_done_callback(partial(_pass_on, entry.future))
                entry.future.add_done_callback(partial(_call_off, single))
                sent.append(single)
        if sent:
            await asyncio.wait(sent)

    # --- a batch

    async def _stored_together(self, entries: Sequence[_Entry]) -> bool:
        """Whether they are on disk. False: they are not, or it is not known."""
        self._together = entries
        try:
            message = await self._asked(entries)
        finally:
            self._together = ()
        answer = _answer(message)
        if answer is None:
            return False
        if answer.error is not None:
            if isinstance(refusal(answer.error, "a batch"), StreamFull):
                self._many = max(FEW, self._many // 2)
            return False
        self._many = min(MANY, 2 * self._many)
        for seq, entry in enumerate(entries, answer.seq - len(entries) + 1):
            if not entry.future.done():
                entry.future.set_result(PubAck(answer.stream, seq))
        return True

    async def _asked(self, entries: Sequence[_Entry]) -> Message | None:
        """The server's answer to the batch; None: there is none, also after a cut."""
        answered: asyncio.Future[Message | None] = self._loop.create_future()

        def told(message: Message | None = None) -> None:
            if not answered.done():
                answered.set_result(message)

        inbox = self._connection.inbox
        token = inbox.expect(told, told, entries[-1].subject)
        timer = self._loop.call_later(ANSWER_S, told)
        try:
            # In one piece: a cut takes all of it or leaves a batch without an end, which the server forgets.
            written = self._connection.try_write(_commands(entries, self._connection.publisher.new_id(), inbox.address(token)))
            return await answered if written else None
        finally:
            timer.cancel()
            inbox.forget(token)


def _commands(entries: Sequence[_Entry], batch: str, reply: str) -> bytes:
    """The last one commits, and is the only one that is answered."""
    last = len(entries)
    commands = []
    for number, entry in enumerate(entries, 1):
        about = f"Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {number}\r\n"
        if number == last:
            about += "Nats-Batch-Commit: 1\r\n"
        block = entry.block[:-2] + about.encode() + b"\r\n"
        commands.append(encode_headed(encode_subject(entry.subject), reply if number == last else "", block, entry.payload))
    return b"".join(commands)


def _answer(message: Message | None) -> Answer | None:
    if message is None or message.status:
        return None
    try:
        return _decode(message.data)
    except msgspec.MsgspecError:
        return None


def _pass_on(future: asyncio.Future[PubAck], single: asyncio.Future[PubAck]) -> None:
    if future.done() or single.cancelled():
        return
    error = single.exception()
    if error is None:
        future.set_result(single.result())
    else:
        future.set_exception(error)
        future.exception()  # who submits without waiting does not want to read about it at exit


def _call_off(single: asyncio.Future[PubAck], future: asyncio.Future[PubAck]) -> None:
    if future.cancelled():
        single.cancel()


def _fail(entries: Sequence[_Entry] | deque[_Entry], error: ConnectionClosed | Unknown) -> None:
    for entry in entries:
        if not entry.future.done():
            entry.future.set_exception(error)
            entry.future.exception()
