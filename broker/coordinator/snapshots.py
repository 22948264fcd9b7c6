"""Snapshots: the open runs of a partition, written as they change.

    segment     the state of every run that changed since the last snapshot, the ids of those that ended; chunks of a few hundred KiB
    manifest    the WAL position that the segments together describe, and which segments those are; changed by compare-and-set

A run that waits for a month is written once. A segment none of whose runs is current any more is dropped; where less than half are, the
rest is written anew with the next snapshot (its state is in memory). So the cost follows what changes, and space what is open.

Order matters: journals to the history, effects acknowledged, segment, manifest, and only then is the WAL purged. Whoever dies in
between leaves an older manifest whose WAL is still there. A stale owner fails at the manifest.

Writing gives way to the loop, so runs change meanwhile: each entry says up to where its run has seen the WAL, and the fold skips what
it has seen.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgpack
import msgspec

from ...schemas import subjects
from ...schemas.errors import UnreadableRecord
from ..client import Connection
from ..engine import restore, snapshot
from ..flows import Flows
from .acknowledged import Ticket
from .open_run import OpenRun
from .partition import Partition

VERSION = 1
RUN, GONE, ENDED = 1, 2, 3
"""Kinds of entries: a run's state; a run that has ended since; a generation of ids of ended runs."""
CHUNK_BYTES = 512 * 1024
TURN_RUNS = 50
"""Runs that are written or read before the loop serves others."""
REWRITE_BELOW = 0.5
REWRITE_FROM, SEGMENTS_MAX = 1_000, 48
"""Entries, or segments, from which on it is worth while to rewrite what is left of the oldest."""

_encode = msgspec.msgpack.Encoder().encode


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """`segments`: (number, entries). `epoch`: that of the tasks in memory when it was written."""

    version: int = VERSION
    position: int = 0
    epoch: str = ""
    segments: list[tuple[int, int]] = []
    written_at: int = 0


class Snapshots:
    """Those of one partition, in the hands of its owner."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.number = number
        self.manifest = Manifest()
        self._connection = connection
        self._revision = 0
        self._entries: dict[int, int] = {}
        self._live: Counter[int] = Counter()

    # --- reading

    async def open(self) -> Manifest:
        """The latest manifest; an empty one if there is none. Raises UnreadableRecord for a newer version."""
        stored = await self._connection.streams.last(subjects.SNAPSHOTS, self._subject("manifest"))
        if stored is not None:
            self._revision = stored.seq
            try:
                self.manifest = msgspec.msgpack.decode(stored.data, type=Manifest)
            except msgspec.MsgspecError as error:
                raise UnreadableRecord(f"the manifest of partition {self.number} cannot be read: {error}") from None
            if self.manifest.version != VERSION:
                raise UnreadableRecord(f"the manifest of partition {self.number} has version {self.manifest.version}, this code {VERSION}")
            self._entries = dict(self.manifest.segments)
        return self.manifest

    async def load(self, partition: Partition, flows: Flows) -> None:
        """Put the runs of the snapshot into the partition."""
        latest: dict[str, list[Any]] = {}
        for number in sorted(self._entries):
            count = 0
            async for entry in self._read(number):
                count += 1
                if entry[0] == RUN:
                    latest[entry[1]] = [number, *entry]
                elif entry[0] == GONE:
                    latest.pop(entry[1], None)
                elif entry[0] == ENDED:
                    partition.ended.adopt(number, *entry[1:])
            if count < self._entries[number]:
                raise UnreadableRecord(f"segment {number} of partition {self.number} has {count} of {self._entries[number]} entries")
        for turn, (number, _, id, digest, at, archived, trace, state) in enumerate(latest.values()):
            plan = await flows.fetch(digest)
            run = OpenRun(restore(plan, state), at, trace, archived, number)
            assert run.run.id == id
            partition.adopt(run, self.manifest.position)
            self._live[number] += 1
            if turn % TURN_RUNS == 0:
                await asyncio.sleep(0)

    async def _read(self, number: int) -> AsyncIterator[list[Any]]:
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=2**31 - 1)
        async for stored in self._connection.streams.read(subjects.SNAPSHOTS, subject=self._subject(number)):
            unpacker.feed(stored.data)
            for entry in unpacker:
                yield entry

    # --- writing

    async def write(self, partition: Partition, epoch: str) -> None:
        """Write what has changed, then purge the WAL. Raises WrongSequence if somebody else has written: then it is not ours any more."""
        position, now = partition.position, int(time.time() * 1_000)
        number = max([*self._entries, 0]) + 1
        ticket = partition.acknowledged.open(position)
        written = await self._write_segment(partition, number, ticket, now)
        ticket.settled(1, None)
        # Runs may have gone on meanwhile, and entries say so: what came of those records must be safe too.
        await _reached(partition, partition.position)
        self._entries[number] = written
        dropped = self._drop_dead(partition)
        await self._write_manifest(position, epoch, now)
        await self._connection.streams.purge(subjects.wal_stream(self.number), seq=position + 1)
        for old in dropped:
            await self._connection.streams.purge(subjects.SNAPSHOTS, subject=self._subject(old))

    async def _write_segment(self, partition: Partition, number: int, ticket: Ticket, now: int) -> int:
        """Write the segment's messages. Returns the number of its entries."""
        gone, partition.gone = partition.gone, []
        chunk = bytearray()
        count = 0
        for entry in [[GONE, id] for id in gone] + [[ENDED, *partition.ended.write(number, now)]]:
            chunk += _encode(entry)
            count += 1
        for id in list(partition.changed):
            run = partition.runs.get(id)
            if run is None:
                continue
            chunk += self._entry(partition, run, number, ticket)
            count += 1
            if count % TURN_RUNS == 0:
                await asyncio.sleep(0)
            if len(chunk) >= CHUNK_BYTES:
                await self._publish(number, chunk)
                chunk = bytearray()
        await self._publish(number, chunk)
        self._live.update({number: 0})
        return count

    def _entry(self, partition: Partition, run: OpenRun, number: int, ticket: Ticket) -> bytes:
        """The run as an entry. Its journal so far goes to the history."""
        partition.changed.discard(run.run.id)
        if run.count:
            partition.outbox.part(run.run.plan.name, run.cut(), ticket)
        partition.hand_over_far_timers(run, ticket)
        if run.segment:
            self._live[run.segment] -= 1
        run.segment = number
        self._live[number] += 1
        return _encode([RUN, run.run.id, run.run.plan.digest, run.at, run.archived, run.trace, snapshot(run.run)])

    async def _publish(self, number: int, chunk: bytearray) -> None:
        for start in range(0, len(chunk), CHUNK_BYTES):
            piece = bytes(chunk[start : start + CHUNK_BYTES])
            await self._connection.publisher.publish(self._subject(number), piece, deadline_s=float("inf"))

    async def _write_manifest(self, position: int, epoch: str, now: int) -> None:
        manifest = Manifest(VERSION, position, epoch, sorted(self._entries.items()), now)
        ack = await self._connection.publisher.publish(
            self._subject("manifest"),
            _encode(manifest),
            headers={"Nats-Rollup": "sub"},
            expect_last_subject_seq=self._revision,
            deadline_s=float("inf"),
        )
        self._revision, self.manifest = ack.seq, manifest

    # --- old segments

    def count_live(self, partition: Partition) -> None:
        """Which segments are still needed, counted anew."""
        self._live = Counter(run.segment for run in partition.runs.values() if run.segment)

    def _drop_dead(self, partition: Partition) -> list[int]:
        """Forget the segments that nobody needs; mark for rewriting what is left of those that hardly anybody needs."""
        self.count_live(partition)
        needed = partition.ended.segments()
        partition.ended.forget_old(int(time.time() * 1_000))
        current = max(self._entries)
        dead = [number for number in self._entries if not self._live[number] and number not in needed and number != current]
        # An ended run's mark may be dropped only with all older segments, or the run would come back from one of them.
        oldest_kept = min((number for number in self._entries if number not in dead), default=current)
        dropped = [number for number in dead if number < oldest_kept]
        for number in dropped:
            del self._entries[number]
        self._rewrite_sparse(partition)
        return dropped

    def _rewrite_sparse(self, partition: Partition) -> None:
        total, live = sum(self._entries.values()), sum(self._live.values())
        crowded = len(self._entries) > SEGMENTS_MAX
        if not crowded and (total < REWRITE_FROM or live > REWRITE_BELOW * total):
            return
        oldest = min(self._entries)
        partition.changed.update(id for id, run in partition.runs.items() if run.segment == oldest)

    def _subject(self, name: int | str) -> str:
        return f"snapshot.{self.number}.{name}"


async def _reached(partition: Partition, position: int) -> None:
    """Wait until the effects of the WAL up to there are acknowledged."""
    while partition.acknowledged.position < position:
        await asyncio.sleep(0.005)
