"""Snapshots: the open runs of a partition, written as they change.

    segment     the state of every run that changed since the last snapshot, the ids of those that ended; chunks of a few hundred KiB
    manifest    the WAL position that the segments together describe, and which segments those are; changed by compare-and-set

A run that waits for a month is written once. A segment none of whose runs is current any more is dropped; where less than half are, the
rest is written anew with the next snapshot (its state is in memory). So the cost follows what changes, and space what is open.

Order matters: journals to the history, effects acknowledged, segment, manifest, and only then is the WAL purged. Whoever dies in
between leaves an older manifest whose WAL is still there. A stale owner fails at the manifest. What it has written of a segment stays
behind under a subject of its own, belongs to nothing, and is purged by the next owner.

Writing gives way to the loop, so runs change meanwhile: each entry says up to where its run has seen the WAL, and the fold skips what
it has seen.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from secrets import token_hex
from sys import intern
from typing import Any, TypeAlias

import msgpack
import msgspec

from ...schemas import subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import FAILURES
from ...schemas.plan.plan import Plan
from ..client import Connection, StreamFull
from ..engine import event_waits, is_of, snapshot, trimmed
from ..engine.event_waits import Correlation
from ..flows import Flows
from ..pace import Pace
from .acknowledged import Ticket
from .ended_runs import life_of
from .open_run import OpenRun, may_rest
from .partition import Partition
from .timers import HORIZON_MS

VERSION = 1
RUN, GONE, ENDED, GATE, COLLECTOR, COLLECTED = 1, 2, 3, 4, 5, 6
"""Kinds of entries: a run's state; a run that has ended since; a generation of ids of ended runs; a limit's state; a collector's state; a
generation of ids of collected events."""
CHUNK_BYTES = 512 * 1024
TURN_RUNS = 50
"""Runs that are written or read before the loop serves others."""
UNDER_WAY_MAX = 1_024
"""Parts of journals and far timers that a snapshot may have on their way to the server before it waits: they are in memory so long."""
REWRITE_BELOW = 0.5
REWRITE_FROM, SEGMENTS_MAX = 1_000, 48
"""Entries, or segments, from which on it is worth while to rewrite what is left of the oldest."""

pace = Pace(turn_s=0.0015)
"""Of all partitions in this process together. A turn costs half a millisecond, so writing takes a third of the loop at most."""
_encode = msgspec.msgpack.Encoder().encode


class Segment(msgspec.Struct, array_like=True, frozen=True):
    """`writer` tells the owner's segment from what another one, who failed at the manifest, may have left under the same number."""

    number: int
    entries: int
    writer: str


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """`segments`: in ascending order. `epoch`: that of the tasks in memory when it was written."""

    version: int = VERSION
    position: int = 0
    epoch: str = ""
    segments: list[Segment] = []
    written_at: int = 0


class RunEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A run in a segment. `at`: up to where it has seen the WAL. `rests`: nothing of it is needed in memory but this.

    `events`: of each wait for one, the name, and the paths that it correlates by, each with its text. `asks`: as in `WaitingRuns`.

    `queued`: it waits for slots of its own. `chain`, `reopened`: as in OpenRun; a chain is empty in entries from before there were any.
    """

    kind: int
    id: str
    digest: str
    at: int
    archived: int
    trace: str
    state: bytes
    events: list[list[str] | str]
    rests: bool
    chain: bytes = b""
    asks: list[list[str]] = []
    reopened: int = 0
    queued: bool = False

    @property
    def life(self) -> str:
        """Under what it is remembered that the run has ended."""
        return life_of(self.id, self.reopened) if self.reopened else self.id


class CollectorEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A collector in a segment. `at`: up to where it has seen the WAL."""

    kind: int
    id: str
    at: int
    state: bytes


class GateEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A limit in a segment: its state as `Gate.as_data` gives it, as bytes. `at`: up to where it has seen the WAL."""

    kind: int
    id: str
    at: int
    state: bytes | list[Any]


_ASKS = RunEntry.__struct_fields__.index("asks")
_NOTHING: list[Any] = []
_ONE_SIGNAL = [["signal"]]
"""What nearly all runs that wait ask for, as one object for all of them."""
AnyEntry: TypeAlias = RunEntry | CollectorEntry | GateEntry


class Snapshots:
    """Those of one partition, in the hands of its owner. `hurry`: nothing else has to be done any more, so keep to no pace."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.number = number
        self.manifest = Manifest()
        self.hurry = False
        self._connection = connection
        self._revision = 0
        self._writer = token_hex(4)
        self._segments: dict[int, Segment] = {}
        self._live: Counter[int] = Counter()
        self._litter: list[str] = []

    # --- reading

    async def open(self) -> Manifest:
        """The latest manifest; an empty one if there is none. Raises UnreadableRecord for one that this code does not understand."""
        stored = await self._connection.streams.last(subjects.SNAPSHOTS, self._subject("manifest"))
        if stored is not None:
            self._revision = stored.seq
            self.manifest = _manifest(stored.data, self.number)
            self._segments = {segment.number: segment for segment in self.manifest.segments}
        return self.manifest

    async def load(self, partition: Partition, flows: Flows) -> None:
        """Put the runs of the snapshot into the partition. Raises UnreadableRecord if it is not whole."""
        latest = await self._read(partition)
        partition.collections.seen.forget_old(int(time.time() * 1_000))
        partition.ended.forget_old(int(time.time() * 1_000))  # old segments know of ends that nobody remembers any more
        plans: dict[str, Plan] = {}
        for turn in range(len(latest)):
            _, (number, entry) = latest.popitem()  # so that memory never holds all runs twice
            self._live[number] += 1
            if isinstance(entry, CollectorEntry):
                partition.collections.adopt(entry.id, entry.at, entry.state, number, self.manifest.position)
                continue
            if isinstance(entry, GateEntry):
                await partition.gates.adopt(entry.id, entry.at, entry.state, number, self.manifest.position)
                continue
            if entry.life in partition.ended:  # while a later segment was being written, so the next one has to say it
                partition.gone.append((entry.id, number))
                continue
            plan = plans.get(entry.digest)
            if plan is None:
                plan = plans[entry.digest] = await flows.fetch(entry.digest)
            run = OpenRun(entry.id, plan, entry.at, entry.trace, entry.archived, number, entry.state)
            run.chain, run.reopened = entry.chain, entry.reopened
            if not entry.rests:
                run.wake()
            partition.adopt(entry.id, run, self.manifest.position, _waits(entry), entry.asks)
            if entry.queued:
                partition.queued.add(entry.id, plan.name)
            if turn % TURN_RUNS == 0:
                await asyncio.sleep(0)

    async def _read(self, partition: Partition) -> dict[str, tuple[int, AnyEntry]]:
        """The latest entry of every run and collector, with its segment. All in one go: a stream gives them in the order of writing."""
        latest: dict[str, tuple[int, AnyEntry]] = {}
        counts: Counter[int] = Counter()
        readers: dict[str, tuple[int, Entries]] = {
            self._subject(segment): (segment.number, Entries()) for segment in self._segments.values()
        }
        litter: dict[str, None] = {}
        async for stored in self._connection.streams.read(subjects.SNAPSHOTS, subject=self._subject(">")):
            reader = readers.get(stored.subject)
            if reader is None:
                litter[stored.subject] = None
                continue
            number, entries = reader
            for entry in entries.feed(stored.data):
                counts[number] += 1
                self._take(entry, number, latest, partition)
                if counts[number] % TURN_RUNS == 0:
                    await asyncio.sleep(0)
        self._litter = [subject for subject in litter if subject != self._subject("manifest")]
        for segment in self._segments.values():
            if counts[segment.number] != segment.entries:
                what = f"{counts[segment.number]} of {segment.entries} entries"
                raise UnreadableRecord(f"segment {segment.number} of partition {self.number} has {what}")
        return latest

    def _take(self, entry: list[Any], number: int, latest: dict[str, tuple[int, AnyEntry]], partition: Partition) -> None:
        try:
            if entry[0] == RUN:
                latest[entry[1]] = number, _run_entry(entry)
            elif entry[0] == GONE:
                latest.pop(entry[1], None)
            elif entry[0] == ENDED:
                partition.ended.adopt(number, *entry[1:])
            elif entry[0] == COLLECTOR:
                latest[entry[1]] = number, CollectorEntry(*entry)
            elif entry[0] == GATE:
                latest[entry[1]] = number, GateEntry(*entry)
            elif entry[0] == COLLECTED:
                partition.collections.seen.adopt(number, *entry[1:])
            else:
                raise LookupError(entry[0])
        except (TypeError, LookupError, ValueError, AttributeError):
            raise UnreadableRecord(f"segment {number} of partition {self.number} has an entry that this code does not know") from None

    # --- writing

    async def write(self, partition: Partition, epoch: str) -> None:
        """Write what has changed, then purge the WAL. Raises WrongSequence if somebody else has written: then it is not ours any more."""
        await _whole(partition)
        position, now = partition.safe_position, int(time.time() * 1_000)
        number = max([*self._segments, 0]) + 1
        ticket = partition.acknowledged.open(position)
        try:
            written = await self._write_segment(partition, number, position, ticket, now)
        except StreamFull:
            # What was written of it must not be what keeps the stream full for the next one.
            await self._connection.streams.purge(subjects.SNAPSHOTS, subject=self._subject(Segment(number, 0, self._writer)))
            raise
        ticket.settled(1, None)
        # Journals, far timers, and what came of records that runs took in meanwhile, as entries say: all of it must be safe.
        await partition.acknowledged.everything_so_far()
        self._segments[number] = Segment(number, written, self._writer)
        dropped = self._drop_dead(partition)
        await self._write_manifest(position, epoch, now)
        await self._connection.streams.purge(subjects.wal_stream(self.number), seq=position + 1)
        litter, self._litter = self._litter, []
        for subject in [*litter, *(self._subject(segment) for segment in dropped)]:
            await self._connection.streams.purge(subjects.SNAPSHOTS, subject=subject)

    async def _write_segment(self, partition: Partition, number: int, position: int, ticket: Ticket, now: int) -> int:
        """Write the segment's messages. Returns the number of its entries."""
        subject = self._subject(Segment(number, 0, self._writer))
        gone = partition.gone + partition.collections.take_gone() + partition.gates.take_gone(position)
        partition.gone = []
        self._live.subtract(segment for _, segment in gone)
        chunk = bytearray().join(_encode([GONE, id]) for id, _ in gone)
        count = len(gone)
        if len(partition.collections.seen):  # first: no collector's entry may know less than what stands here
            chunk += _encode([COLLECTED, *partition.collections.seen.write(number, now)])
            count += 1
        for entry in self._entries(partition, number, ticket):
            chunk += entry
            count += 1
            if count % TURN_RUNS == 0:
                await self._give_way(partition, ticket)
            if len(chunk) >= CHUNK_BYTES:
                await self._publish(subject, chunk)
                await _whole(partition)
                chunk = bytearray()
        # Last: runs that ended while the others were written are in no other entry.
        chunk += _encode([ENDED, *partition.ended.write(number, now)])
        await self._publish(subject, chunk)
        return count + 1

    def _entries(self, partition: Partition, number: int, ticket: Ticket) -> Iterator[bytes]:
        """What has changed, as entries of the segment. It goes on changing: each is written as it is when its turn comes."""
        for id in list(partition.changed):
            run = partition.runs.get(id)
            if run is not None:
                yield self._entry(partition, run, number, ticket)
        for id in list(partition.gates.changed):
            yield _encode(GateEntry(GATE, *partition.gates.entry(id, number, self._live)))
        for id in list(partition.collections.changed):
            yield _encode(CollectorEntry(COLLECTOR, *partition.collections.entry(id, number, self._live)))

    def _entry(self, partition: Partition, run: OpenRun, number: int, ticket: Ticket) -> bytes:
        """The run as an entry. Its journal so far goes to the history, and if it can, it rests from now on."""
        state = run.run
        partition.changed.discard(state.id)
        if run.count:
            partition.outbox.part(run.plan.name, run.cut(), ticket)
        partition.timers.hand_over_far(run, ticket)
        if run.segment:
            self._live[run.segment] -= 1
        run.segment = number
        self._live[number] += 1
        data, rests = snapshot(state), may_rest(state, partition.now_ms + HORIZON_MS)
        events: list[list[str] | str] = [[name, *chain.from_iterable(correlation)] for name, correlation in event_waits(state)]
        asks = partition.waiting.of(run.plan.name, state.id)
        queued = state.id in partition.queued
        entry = _encode(
            RunEntry(
                RUN, state.id, run.plan.digest, run.at, run.archived, run.trace, data, events, rests, run.chain, asks, run.reopened, queued
            )
        )
        if rests:
            run.rest(data)
        return entry

    async def _give_way(self, partition: Partition, ticket: Ticket) -> None:
        await asyncio.sleep(0 if self.hurry else pace.next_turn_in_s())
        while ticket.pending > UNDER_WAY_MAX:
            await asyncio.sleep(0.001)
        await _whole(partition)

    async def _publish(self, subject: str, chunk: bytearray) -> None:
        for start in range(0, len(chunk), CHUNK_BYTES):
            piece = bytes(chunk[start : start + CHUNK_BYTES])
            await self._connection.publisher.publish(subject, piece, deadline_s=float("inf"))

    async def _write_manifest(self, position: int, epoch: str, now: int) -> None:
        manifest = Manifest(VERSION, position, epoch, sorted(self._segments.values(), key=lambda segment: segment.number), now)
        ack = await self._connection.publisher.publish(
            self._subject("manifest"),
            _encode(manifest),
            headers={"Nats-Rollup": "sub"},
            expect_last_subject_seq=self._revision,
            deadline_s=float("inf"),
        )
        self._revision, self.manifest = ack.seq, manifest

    # --- old segments

    def _drop_dead(self, partition: Partition) -> list[Segment]:
        """Forget the segments that nobody needs; mark for rewriting what is left of those that hardly anybody needs."""
        needed = partition.ended.segments() | partition.collections.seen.segments()
        for ids in (partition.ended, partition.collections.seen):
            ids.forget_old(int(time.time() * 1_000))
        current = max(self._segments)
        dead = [number for number in self._segments if self._live[number] <= 0 and number not in needed and number != current]
        # An ended run's mark may be dropped only with all older segments, or the run would come back from one of them.
        oldest_kept = min((number for number in self._segments if number not in dead), default=current)
        dropped = [self._segments.pop(number) for number in dead if number < oldest_kept]
        for segment in dropped:
            del self._live[segment.number]
        self._rewrite_sparse(partition)
        return dropped

    def _rewrite_sparse(self, partition: Partition) -> None:
        total, live = sum(segment.entries for segment in self._segments.values()), sum(self._live.values())
        crowded = len(self._segments) > SEGMENTS_MAX
        if not crowded and (total < REWRITE_FROM or live > REWRITE_BELOW * total):
            return
        oldest = min(self._segments)
        if self._live[oldest] > 0:
            partition.changed.update(id for id, run in partition.runs.items() if run.segment == oldest)
            partition.collections.changed.update(partition.collections.in_segment(oldest))
            partition.gates.changed.update(partition.gates.in_segment(oldest))

    def _subject(self, what: Segment | str) -> str:
        """`snapshot.<p>.manifest`, `snapshot.<p>.<segment>.<writer>`."""
        return f"snapshot.{self.number}.{what if isinstance(what, str) else f'{what.number}.{what.writer}'}"


class Entries:
    """The entries in the messages of a segment, which do not end where messages do."""

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=2**31 - 1)

    def feed(self, data: bytes) -> list[list[Any]]:
        """Those that are whole with this message. Raises UnreadableRecord."""
        try:
            self._unpacker.feed(data)
            return list(self._unpacker)
        except (msgpack.UnpackException, ValueError, TypeError, OverflowError) as error:
            raise UnreadableRecord(f"a segment cannot be read: {error}") from None


def _run_entry(fields: list[Any]) -> RunEntry:
    """The entry of a run, as small as can be: a million of them are in memory for a moment. Raises UnreadableRecord."""
    id, digest = fields[1], intern(fields[2])
    if not is_of(id, digest, fields[6]):
        raise UnreadableRecord(f"what a segment holds of run {id} is no snapshot of this version")
    fields[2], fields[6] = digest, trimmed(id, digest, fields[6])
    fields[7] = fields[7] or _NOTHING
    if len(fields) > _ASKS and fields[_ASKS] in (_NOTHING, _ONE_SIGNAL):
        fields[_ASKS] = _ONE_SIGNAL if fields[_ASKS] else _NOTHING
    return RunEntry(*fields)


def _waits(entry: RunEntry) -> list[tuple[str, Correlation]]:
    """The waits for events that an entry names. A name alone, from before there were fields, may be of any event of that name."""
    found = [[event] if isinstance(event, str) else event for event in entry.events]
    return [(name, tuple(zip(fields[::2], fields[1::2], strict=True))) for name, *fields in found]


def _manifest(data: bytes, partition: int) -> Manifest:
    try:
        head = msgspec.msgpack.decode(data)
        version = head[0] if isinstance(head, list) and head else None
        if version != VERSION:
            raise UnreadableRecord(f"the manifest of partition {partition} has version {version!r}, this code {VERSION}")
        return msgspec.msgpack.decode(data, type=Manifest)
    except FAILURES as error:
        raise UnreadableRecord(f"the manifest of partition {partition} cannot be read: {error}") from None


async def _whole(partition: Partition) -> None:
    """Wait while a message is only half taken in: a run could have seen half of what is there for it."""
    while partition.within_message:
        await asyncio.sleep(0.005)
