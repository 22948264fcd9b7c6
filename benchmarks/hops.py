"""Hops of the bare pipeline: entries into a stream by group commit, messages out of it by a continuous pull.

As fast as nats-py allows, and no more: nothing is sent again, nothing is recovered after a reconnect.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgpack
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

ENTRIES_MAX, IN_FLIGHT_MAX = 64, 8
CONSUMER = "bare"
"""The durable consumer of each stream."""
MESSAGES_ASKED = 64
EXPIRES_NS = 60_000_000_000

pack = msgpack.Packer(use_bin_type=True).pack


def unpack(data: bytes) -> Any:
    return msgpack.unpackb(data, raw=False)


class GroupCommit:
    """Publishes entries to one subject; what arrives while publishes are in flight leaves together."""

    def __init__(self, stream: JetStreamContext, subject: str, entries_max: int = ENTRIES_MAX, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self._stream, self._subject, self._entries_max = stream, subject, entries_max
        self._waiting: list[tuple[Any, asyncio.Future[None]]] = []
        self._window = asyncio.Semaphore(in_flight_max)
        self._wake = asyncio.Event()
        self._sending: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run())

    def put(self, entry: Any) -> asyncio.Future[None]:
        """The future is done when the entry is on the server."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, done))
        self._wake.set()
        return done

    def close(self) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._window.acquire()
                batch, self._waiting = self._waiting[: self._entries_max], self._waiting[self._entries_max :]
                sending = asyncio.create_task(self._send(batch))
                self._sending.add(sending)
                sending.add_done_callback(self._sending.discard)

    async def _send(self, batch: list[tuple[Any, asyncio.Future[None]]]) -> None:
        try:
            await self._stream.publish(self._subject, pack([entry for entry, _ in batch]))
            for _, done in batch:
                if not done.done():
                    done.set_result(None)
        finally:
            self._window.release()


class Pull:
    """A continuous pull on a durable consumer: asks for more when half of what it asked for has come."""

    def __init__(self, connection: Client, stream: str, handle: Callable[[Msg], Iterable[Awaitable[None]]]) -> None:
        self._connection, self._handle, self._left = connection, handle, 0
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{CONSUMER}"
        self._inbox = connection.new_inbox()
        self._acking: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        await self._connection.subscribe(self._inbox, cb=self._take)
        await self._ask()

    async def _ask(self) -> None:
        self._left += MESSAGES_ASKED
        ask = {"batch": MESSAGES_ASKED, "expires": EXPIRES_NS}
        await self._connection.publish(self._subject, json.dumps(ask).encode(), reply=self._inbox)

    async def _take(self, message: Msg) -> None:
        if message.headers and message.headers.get("Status"):
            self._left = 0
            await self._ask()
            return
        self._left -= 1
        if self._left <= MESSAGES_ASKED // 2:
            await self._ask()
        acking = asyncio.create_task(self._ack_after(message, self._handle(message)))
        self._acking.add(acking)
        acking.add_done_callback(self._acking.discard)

    async def _ack_after(self, message: Msg, stored: Iterable[Awaitable[None]]) -> None:
        await asyncio.gather(*stored)
        await self._connection.publish(message.reply, b"+ACK")
