"""Retention: journals of ended runs go when they are older than their flow's `history.keep` says; of a flow that says nothing known, never.

A message of HISTORY holds parts of many runs. It can go when all of them are to go: what lies before the first part that stays is purged in
one request, messages behind it one by one. The rows go first: a crash in between leaves messages that no row speaks of, and the
next purge of the flow takes them along.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from ...schemas import subjects
from ..client import BrokerError, Connection, NotFound
from .database import place, seq_of
from .store import Store

EVERY_S = 60.0
RUNS_AT_ONCE = 2_000
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Expired:
    """What one step let go of. `messages`: nothing points to them any more. `keep_from`: the flow's first one that stays; None: none."""

    runs: int
    messages: list[int]
    keep_from: int | None


class Retention:
    """Looks every so often. `keep_ms`: by flow."""

    def __init__(
        self, connection: Connection, store: Store, keep_ms: Mapping[str, int], *, now_ms: Callable[[], int] | None = None
    ) -> None:
        self.runs = 0
        """Runs removed since the start."""
        self._connection, self._store, self._keep_ms = connection, store, keep_ms
        self._now_ms = now_ms or (lambda: int(time.time() * 1_000))
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._look_often(), name="retention")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> int:
        """Remove what is too old now; how many runs that was. Raises BrokerError, sqlite3.Error."""
        removed = 0
        for flow, keep_ms in list(self._keep_ms.items()):
            while runs := await self._step(flow, self._now_ms() - keep_ms):
                removed += runs
        self.runs += removed
        return removed

    async def _step(self, flow: str, before_ms: int) -> int:
        expired = await self._store.write(expire, flow, before_ms)
        if expired.messages:
            await self._remove(flow, expired)
        return expired.runs

    async def _remove(self, flow: str, expired: Expired) -> None:
        keep_from = expired.messages[-1] + 1 if expired.keep_from is None else expired.keep_from
        await self._connection.streams.purge(subjects.HISTORY, subject=subjects.history(flow), seq=keep_from)
        for seq in expired.messages:
            if seq > keep_from:
                try:
                    await self._connection.streams.delete_message(subjects.HISTORY, seq)
                except NotFound:
                    continue

    async def _look_often(self) -> None:
        while True:
            try:
                removed = await self.look()
                if removed:
                    _log.info("journals removed", runs=removed)
            except (BrokerError, sqlite3.Error) as error:
                _log.warning("old journals could not be removed", error=str(error))
            await asyncio.sleep(EVERY_S)


def expire(connection: sqlite3.Connection, flow: str, before_ms: int) -> Expired:
    """Delete the rows of some runs of the flow that ended before `before_ms`."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Whoever ended before then also started before then, and that is what there is an index for.
        sql = "SELECT key FROM runs WHERE flow = ? AND started_at < ? AND ended_at < ? ORDER BY started_at LIMIT ?"
        keys = connection.execute(sql, (flow, before_ms, before_ms, RUNS_AT_ONCE)).fetchall()
        seqs = {seq_of(found) for key in keys for (found,) in connection.execute("SELECT place FROM parts WHERE run = ?", key)}
        connection.executemany("DELETE FROM parts WHERE run = ?", keys)
        connection.executemany("DELETE FROM runs WHERE key = ?", keys)
        orphaned = [seq for seq in sorted(seqs) if not _is_needed(connection, seq)]
        (first,) = connection.execute("SELECT min(place) FROM parts WHERE flow = ?", (flow,)).fetchone()
    return Expired(len(keys), orphaned, None if first is None else seq_of(first))


def _is_needed(connection: sqlite3.Connection, seq: int) -> bool:
    sql = "SELECT 1 FROM parts WHERE place >= ? AND place < ? LIMIT 1"
    return connection.execute(sql, (place(seq, 0), place(seq + 1, 0))).fetchone() is not None
