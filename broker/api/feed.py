"""The feed: a stream of messages for queue triggers, as those who send see it.

It makes the stream if nobody has, and stores many messages at a time. Where there is no room it takes away what is done with before it says
so: whoever serves the stream does that only every few milliseconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

import structlog

from ..client import BrokerError, Connection, NoResponders, StreamFull
from ..queues import clear

FULL = 10077
"""JetStream's code for a stream that has as many messages, or bytes, as it may have."""
log = structlog.get_logger("jetfleet.client")


class Feed:
    """`ensure` makes the stream; asked once, since afterwards whoever serves it keeps it there. `there`: whether that was done."""

    def __init__(self, connection: Connection, stream: str, ensure: Callable[[], Awaitable[None]]) -> None:
        self.there = False
        self._connection, self._stream, self._ensure = connection, stream, ensure
        self._cleared = 0
        self._making: asyncio.Task[None] | None = None
        self._clearing: asyncio.Task[None] | None = None

    async def store(self, subject: str, data: bytes, id: str, headers: Mapping[str, str]) -> None:
        """Returns when the message is on disk. Raises StreamFull (with FULL, where a limit of the stream says so), BrokerError."""
        if not self.there:
            await self._made()
        group = self._connection.group(self._stream)
        try:
            try:
                await group.submit(subject, data, id=id, headers=headers)
            except StreamFull as error:
                if error.err_code != FULL:
                    raise
                await self._clear()
                await group.submit(subject, data, id=id, headers=headers)
        except NoResponders:  # somebody has deleted it
            self.there = False
            raise

    async def _made(self) -> None:
        """All who ask at the same time wait for the same one, and go on in their order."""
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._made_once())
        await asyncio.shield(self._making)

    async def _made_once(self) -> None:
        try:
            await self._ensure()
            self.there = True
        finally:
            self._making = None

    async def _clear(self) -> None:
        """All who are refused at the same time wait for the same one."""
        if self._clearing is None:
            self._clearing = asyncio.get_running_loop().create_task(self._cleared_once())
        await asyncio.shield(self._clearing)

    async def _cleared_once(self) -> None:
        try:
            self._cleared = await clear(self._connection, self._stream, self._cleared)
        except BrokerError as error:
            log.info("what is taken cannot be cleared away now", stream=self._stream, reason=str(error))
        finally:
            self._clearing = None
