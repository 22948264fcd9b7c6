"""The tail: one stream read from a sequence on, in order, each message once, for ever.

It reads through a consumer of its own, which the server may forget at any time: after a cut, a loss or a restart there is a new one,
from the sequence that comes next. Without a filter the sequences must follow one another. If they do not, or if the stream ends before
what was read, has another message where that ends, or is another one of the same name, messages are lost for good: the tail stops and
says so. Who follows a state, the last message of each subject, says `on_anew` instead: the stream is read from its beginning again.

A handler that raises has had its message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import structlog

from .errors import ConnectionClosed, Hole, NotFound
from .message import Message
from .pull import Pull
from .wire import encode_publish

if TYPE_CHECKING:
    from .connection import Connection

WINDOW = 128
"""How many messages may be on their way."""
INACTIVE_S = 30
_log = structlog.get_logger(__name__)


class Tail:
    """`handle` is a plain function, called for each message. `on_hole(expected, got)` is called once, when the stream does not go on.

    `last`: the sequence of the last message that was handled, at first `start_seq` - 1; `last_ns`: when it was stored, 0 at first.
    """

    def __init__(
        self,
        connection: Connection,
        stream: str,
        start_seq: int,
        handle: Callable[[Message], None],
        *,
        filter_subject: str | None = None,
        on_hole: Callable[[int, int], None] | None = None,
        on_anew: Callable[[], None] | None = None,
    ) -> None:
        self.stream = stream
        self.last = max(start_seq, 1) - 1
        self.last_ns = 0
        self.hole: Hole | None = None
        self._connection, self._handle, self._filter, self._on_hole, self._on_anew = connection, handle, filter_subject, on_hole, on_anew
        self._pull = Pull(connection, stream, "", self._on_message, room=self._room, repair=self._new_consumer, fresh=True)
        self._consumer_seq = 0
        self._created = ""
        self._paused = self._stopped = False
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._stopping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin. Raises NotFound if there is no such stream, Unknown if the server does not answer."""
        await self._pull.start()
        if self.hole is not None:
            await self._pull.stop()

    async def stop(self) -> None:
        """After this returns, nothing is handed over any more."""
        self._end()
        await self._pull.stop()
        self._delete_consumer()

    def pause(self) -> None:
        """Ask for no more, until `resume`. What was asked for still comes."""
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._pull.wake()

    async def caught_up(self) -> int:
        """Wait until everything that is in the stream now has been handled; the last sequence handled. Raises Hole, ConnectionClosed."""
        newest = await self._connection.streams.last(self.stream, self._filter or ">")
        target = newest.seq if newest is not None else 0
        if self.hole is not None:
            raise self.hole
        if self.last < target:
            if self._stopped:
                raise self._closed()
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((target, waiting))
            await waiting
        return self.last

    # --- the consumer

    async def _new_consumer(self) -> None:
        """A consumer that begins with what comes next; or a hole."""
        self._delete_consumer()
        info = await self._connection.streams.stream_info(self.stream)
        if info is None:
            raise NotFound(f"there is no stream {self.stream}; deploy the topology", status=404)
        await self._check(info)
        if self.hole is not None:
            return
        self._consumer_seq = 0
        self._pull.consumer = f"tail-{token_hex(8)}"
        await self._connection.streams.create_or_update_consumer(self.stream, self._consumer_config())

    def _consumer_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "name": self._pull.consumer,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self.last + 1,
            "ack_policy": "none",
            "inactive_threshold": INACTIVE_S * 10**9,
            "mem_storage": True,
            "num_replicas": 1,
        }
        if self._filter is not None:
            config["filter_subject"] = self._filter
        return config

    async def _check(self, info: dict[str, Any]) -> None:
        """The stream must be the one that was read before, and not end before what was read."""
        created, self._created = self._created, str(info["created"])
        last_seq = int(info["state"]["last_seq"])
        if last_seq >= self.last and created in ("", self._created) and not await self._is_overwritten():
            return
        if self._on_anew is None:
            self._found_hole(min(last_seq, self.last))
        else:
            self._begin_anew(self._on_anew)

    async def _is_overwritten(self) -> bool:
        """Whether the stream went back, and others were quick to publish: then sequences that were read have other messages now."""
        if not self.last_ns:
            return False
        stored = await self._connection.streams.get(self.stream, self.last)
        return stored is not None and stored.time_ns != self.last_ns

    def _begin_anew(self, on_anew: Callable[[], None]) -> None:
        _log.warning("a stream went back and is read anew", stream=self.stream, filter=self._filter, last_seq=self.last)
        self.last = self.last_ns = 0
        on_anew()

    def _delete_consumer(self) -> None:
        if self._pull.consumer:
            name, self._pull.consumer = self._pull.consumer, ""
            self._connection.try_write(encode_publish(f"$JS.API.CONSUMER.DELETE.{self.stream}.{name}", b"")[0])

    # --- messages

    def _room(self) -> int:
        return 0 if self._paused or self._stopped else WINDOW

    def _on_message(self, message: Message) -> None:
        if self._stopped:
            return
        if message.consumer_seq != self._consumer_seq + 1:  # the server sent something that did not arrive: ask for it again
            self._pull.restart()
            return
        self._consumer_seq += 1
        seq = message.stream_seq
        if seq != self.last + 1 and self._filter is None:
            self._found_hole(seq)
            return
        self.last, self.last_ns = seq, message.timestamp_ns
        try:
            self._handle(message)
        finally:
            if self._waiting:
                self._tell_waiting()

    def _tell_waiting(self) -> None:
        for target, waiting in self._waiting:
            if self.last >= target and not waiting.done():
                waiting.set_result(None)
        self._waiting = [each for each in self._waiting if not each[1].done()]

    # --- the end

    def _found_hole(self, got: int) -> None:
        expected = self.last + 1
        self.hole = Hole(self.stream, expected, got)
        _log.error("stream_hole", stream=self.stream, expected=expected, got=got)
        self._end()
        self._stopping = asyncio.get_running_loop().create_task(self._pull.stop())
        if self._on_hole is not None:
            self._on_hole(expected, got)

    def _end(self) -> None:
        self._stopped = True
        for _, waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(self.hole or self._closed())
        self._waiting.clear()

    def _closed(self) -> ConnectionClosed:
        return ConnectionClosed(f"the tail of {self.stream} was stopped")
