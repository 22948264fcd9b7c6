"""The follower: feeds the database from the streams, from where it left off.

    Tail of HISTORY, DEAD, each WAL_p ──▶ buffer ──▶ Changes ──▶ one transaction, positions included
                  ▲                          │
                  └── paused while it is full ┘

The WAL is followed so that open runs are listed at once; what is purged of it before it was read is in HISTORY by then. A stream that
was created anew, or ends before the position, means that the file tells of another deployment: it is cleared and fed again.

Guarantees: every message is taken in, in the order of its stream; memory is bounded by the buffer; a disk that is full stops nothing but
the feeding, which goes on when there is room. Latency at low load: GATHER_S.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections import deque
from typing import Any

import structlog

from ...schemas import subjects
from ..client import BrokerError, Connection, Message, Tail
from . import writer
from .changes import Changes
from .database import clear
from .store import Store

GATHER_S = 0.1
"""How long the first message waits for company."""
TRANSACTION_BYTES, TRANSACTION_MESSAGES = 4 << 20, 5_000
BUFFER_BYTES = 16 << 20
AGAIN_S = 1.0
_MESSAGE_OVERHEAD_BYTES = 256
_log = structlog.get_logger(__name__)
_Taken = tuple[str, int, str, bytes]


class Follower:
    """Feeds `store` until stopped. `taken` and `written` count messages since the start."""

    def __init__(self, connection: Connection, store: Store, partitions: int, versions: dict[str, str]) -> None:
        self.streams = [subjects.HISTORY, subjects.DEAD, *(subjects.wal_stream(partition) for partition in range(partitions))]
        self.positions: dict[str, int] = {}
        self.taken = self.written = self.refused = self.rows = 0
        self.blocked = ""
        """Why nothing can be written; empty when all is well."""
        self._connection, self._store, self._partitions, self._versions = connection, store, partitions, versions
        self._tails: dict[str, Tail] = {}
        self._buffer: deque[_Taken] = deque()
        self._buffered_bytes = 0
        self._paused = False
        self._filled, self._emptied = asyncio.Event(), asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []
        self._beginning_anew: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Go on where the file ends. Raises BrokerError, sqlite3.Error."""
        await self._settle_positions()
        self.refused = await self._store.read(writer.refused)
        self._tasks = [asyncio.create_task(self._write_often(), name="read model writer")]
        for stream in self.streams:
            await self._follow(stream)

    async def stop(self) -> None:
        """What has not been written by now is read again next time."""
        if self._beginning_anew is not None:
            self._beginning_anew.cancel()
            await asyncio.gather(self._beginning_anew, return_exceptions=True)
        await self._halt()

    async def _halt(self) -> None:
        tails, self._tails = self._tails, {}
        for tail in tails.values():
            await tail.stop()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._buffer.clear()
        self._filled.clear()
        self.written, self._buffered_bytes, self._paused = self.taken, 0, False

    async def _begin_anew(self) -> None:
        """A stream was deleted and made again under our feet."""
        while True:
            await self._halt()
            try:
                await self.start()
            except (BrokerError, sqlite3.Error) as error:
                _log.error("the read model cannot follow its streams", error=str(error))
                await asyncio.sleep(AGAIN_S)
            else:
                return

    async def caught_up(self) -> None:
        """Returns when everything that was in the streams when it was called is in the tables."""
        await asyncio.gather(*(_caught_up(tail) for tail in self._tails.values()))
        target = self.taken
        async with self._emptied:
            await self._emptied.wait_for(lambda: self.written >= target)

    @property
    def backlog(self) -> int:
        """Messages that are here and not in the tables yet."""
        return self.taken - self.written

    async def _settle_positions(self) -> None:
        """Where each stream is to be read from."""
        infos = {stream: await self._connection.streams.stream_info(stream) for stream in self.streams}
        known = await self._store.read(writer.positions)
        strange = [stream for stream, info in infos.items() if stream in known and _is_another(info, *known[stream])]
        if strange:
            _log.warning("the read model is built anew", reason="streams are not those it was fed from", streams=strange)
            await self._store.write(clear)
            known = {}
        for stream, info in infos.items():
            if stream not in known:
                await self._store.write(writer.begin_stream, stream, str((info or {}).get("created", "")))
        self.positions = {stream: known.get(stream, (0, ""))[0] for stream in self.streams}

    async def _follow(self, stream: str) -> None:
        # With a filter the tail takes holes for granted: there are some, wherever something was purged.
        tail = Tail(
            self._connection, stream, self.positions[stream] + 1, lambda message: self._take(stream, message),
            filter_subject=">", on_hole=lambda expected, got: self._on_other_stream(),
        )  # fmt: skip
        self._tails[stream] = tail
        if self._paused:
            tail.pause()
        await tail.start()

    def _on_other_stream(self) -> None:
        if self._beginning_anew is None or self._beginning_anew.done():
            self._beginning_anew = asyncio.create_task(self._begin_anew(), name="read model anew")

    def _take(self, stream: str, message: Message) -> None:
        self._buffer.append((stream, message.stream_seq, message.subject, message.data))
        self._buffered_bytes += len(message.data) + _MESSAGE_OVERHEAD_BYTES
        self.taken += 1
        self._filled.set()
        if self._buffered_bytes > BUFFER_BYTES and not self._paused:
            self._paused = True
            for tail in self._tails.values():
                tail.pause()

    async def _write_often(self) -> None:
        while True:
            await self._filled.wait()
            if self._buffered_bytes < TRANSACTION_BYTES:
                await asyncio.sleep(GATHER_S)
            batch = self._cut()
            changes = await self._write(batch)
            self.positions.update(changes.positions)
            self.refused += changes.refused
            self.rows += changes.rows
            async with self._emptied:
                self.written += len(batch)
                self._emptied.notify_all()

    def _cut(self) -> list[_Taken]:
        """What goes into the next transaction."""
        batch: list[_Taken] = []
        size = 0
        while self._buffer and size < TRANSACTION_BYTES and len(batch) < TRANSACTION_MESSAGES:
            batch.append(self._buffer.popleft())
            size += len(batch[-1][3]) + _MESSAGE_OVERHEAD_BYTES
        self._buffered_bytes -= size
        if not self._buffer:
            self._filled.clear()
        if self._paused and self._buffered_bytes < BUFFER_BYTES // 2:
            self._paused = False
            for tail in self._tails.values():
                tail.resume()
        return batch

    async def _write(self, batch: list[_Taken]) -> Changes:
        while True:
            try:
                changes = await self._store.write(self._take_in, batch)
            except sqlite3.Error as error:
                self.blocked = str(error)
                _log.error("the read model cannot be written", path=str(self._store.database.path), error=str(error), waiting=len(batch))
            else:
                self.blocked = ""
                return changes
            await asyncio.sleep(AGAIN_S)

    def _take_in(self, connection: sqlite3.Connection, batch: list[_Taken]) -> Changes:
        changes = Changes(self._partitions, self._versions)
        for taken in batch:
            changes.take(*taken)
        writer.write(connection, changes)
        return changes


async def _caught_up(tail: Tail) -> None:
    """Asked anew every so often: the message that is waited for may be purged before it is read, since the WAL is purged all the time."""
    while True:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AGAIN_S):
                await tail.caught_up()
                return


def _is_another(info: dict[str, Any] | None, seq: int, created: str) -> bool:
    """Whether a stream is not the one that was read up to `seq`."""
    return info is None or info["created"] != created or info["state"]["last_seq"] < seq
