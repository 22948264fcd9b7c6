"""Steering: what somebody outside tells a run, as records appended to the WAL of its partition.

Guarantees: when a call returns, the record is on disk, and the run takes it in, also after any crash. A run that has ended, or never was,
ignores it: nobody is told.
"""

from __future__ import annotations

import time
from typing import Any

from ...schemas import records as rec
from ...schemas import subjects
from ...schemas.codec import encode_batch
from ...schemas.errors import UsageError
from ...schemas.payload import Payload, encode
from ..client import Connection
from .signal_check import SignalCheck


class Steering:
    """The calls that `Client` passes on. All raise BrokerError; `Unknown` where the record may have been written or not."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self._connection = connection
        self._partitions = partitions
        self._check = SignalCheck(connection, partitions)

    async def signal(self, run: str, name: str, value: Payload, *, id: str = "") -> None:
        """Raises RunEnded and SignalRejected, if the owner of the run says so. Who cannot ask it leaves that to the engine."""
        if not name:
            raise UsageError("a signal needs a name: that of the wait which it ends")
        record = rec.SignalReceived(run, _now_ms(), name, value, id)
        await self._check.check(record)
        await self._append(record)

    async def event(self, name: str, value: Any = None, *, id: str = "") -> None:
        """For every run that waits for it. Runs are in any partition, so all are told."""
        if not name:
            raise UsageError("an event needs a name: that which runs wait for")
        record = rec.EventReceived("", _now_ms(), name, encode(value), id)
        for partition in range(self._partitions):
            await self._append_to(partition, record)

    async def cancel(self, run: str, reason: str = "", *, kill: bool = False) -> None:
        await self._append(rec.CancelRequested(run, _now_ms(), reason, kill))

    async def pause(self, run: str, reason: str = "") -> None:
        await self._append(rec.PauseRequested(run, _now_ms(), reason))

    async def resume(self, run: str) -> None:
        await self._append(rec.ResumeRequested(run, _now_ms()))

    async def _append(self, record: rec.Record) -> None:
        await self._append_to(subjects.partition_of(record.run, self._partitions), record)

    async def _append_to(self, partition: int, record: rec.Record) -> None:
        await self._connection.publisher.publish(subjects.wal(partition), encode_batch([record]))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
