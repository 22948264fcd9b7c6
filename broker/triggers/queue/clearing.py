"""The clearing: messages that are done with leave their stream, many at a time.

    acknowledged ──▶ everything up to the first message that is not: one request, one write to the disk, every few ms
                ╲──▶ behind one that takes long (a large value, a coordinator that died): one by one, so that it holds up nobody's room

Guarantees: nothing leaves that is not acknowledged. A process that dies leaves what it had not cleared to the next one.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from ...client import BrokerError, Connection, Refused
from ...queues import clear

EVERY_S = 0.02
"""So long the messages that are done with keep their places. To clear them away costs about as much as to store one."""
HELD_UP_S = 0.2
AT_ONCE = 256
log = structlog.get_logger("jetfleet.triggers")


class Clearing:
    """`run` is a task; `settled` says that the message with this sequence was acknowledged."""

    def __init__(self, connection: Connection, stream: str) -> None:
        self._connection, self._stream = connection, stream
        self._done: set[int] = set()
        """What was acknowledged and, as far as is known, is still there."""
        self._floor = 0
        self._since = 0.0
        self._more = asyncio.Event()
        self._more.set()  # whoever served the stream before may have left some

    def settled(self, seq: int) -> None:
        if not self._done:
            self._since = time.monotonic()
        self._done.add(seq)
        self._more.set()

    async def run(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            await asyncio.sleep(EVERY_S)
            try:
                await self._clear()
            except BrokerError as error:
                log.info("what is taken cannot be cleared away yet", stream=self._stream, reason=str(error))
            if self._done:
                self._more.set()

    async def _clear(self) -> None:
        floor = await clear(self._connection, self._stream, self._floor)
        if floor != self._floor:
            self._floor, self._since = floor, time.monotonic()
            self._done = {seq for seq in self._done if seq > floor}
        elif time.monotonic() - self._since > HELD_UP_S:
            await asyncio.gather(*(self._delete(seq) for seq in sorted(self._done)[:AT_ONCE]))

    async def _delete(self, seq: int) -> None:
        try:
            await self._connection.streams.delete_message(self._stream, seq)
        except Refused as error:  # it is not there any more
            if error.passing:
                raise
        self._done.discard(seq)
