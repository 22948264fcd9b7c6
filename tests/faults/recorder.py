"""The recorder: reads evidence from a real deployment while it works, so that what is purged behind a snapshot was seen.

    async with Recorder(connection, partitions) as recorder:
        …                                                # load, faults
        await recorder.ended(*runs)
        evidence = await recorder.evidence(ledger, client)

It follows the WALs, HISTORY, DEAD, SNAPSHOTS, leases and heartbeats on a connection of its own, and asks the owners about open runs at the end.
Does not: see what was overwritten or purged before it got there. Of the WAL it says so: the evidence is `partial` then.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from jetfleet.broker.api import Client
from jetfleet.broker.client import BrokerError, Connection, Hole, Message, Tail
from jetfleet.broker.coordinator.snapshots import RUN, Entries, Manifest
from jetfleet.broker.engine import Blocked
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.codec import decode_record
from jetfleet.schemas.errors import JetfleetError, UnreadableRecord
from jetfleet.schemas.messages import Lease, Member, Summary
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Completion, Record, RunStarted

from ..fleet.fleet_log import Log
from .events import runs_of_event
from .evidence import Beat, Entry, Evidence, LeaseSeen, ManifestSeen, Seen, SnapshotSeen, Unreadable
from .ledger import Ledger
from .replay import replay

CATCH_UP_S = 120.0
SHOWN_NS = 500_000_000
"""So long before a server died it may have shown a message that was not on its disk yet."""
STATE_AT, RECORDS_AT = 6, 9
"""Where a run's entry in a segment has the state, and where that has the number of its records."""


class Recorder(Log):
    """What `Log` knows, and besides it everything that a checker may ask for."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        super().__init__(connection, partitions)
        self.entries: list[Entry] = []
        self.unreadable: list[Unreadable] = []
        self.seen: list[Seen] = []
        self.leases: list[LeaseSeen] = []
        self.beats: list[Beat] = []
        self.manifests: list[ManifestSeen] = []
        self.snapshots: list[SnapshotSeen] = []
        self._connection, self._partitions = connection, partitions
        self._segments: dict[str, Entries] = defaultdict(Entries)
        self._purged: list[bool] = []
        """Of each gap in a WAL: whether it was purged before it was read here."""
        self._looking: set[asyncio.Task[None]] = set()
        self._tails = [
            *(self._wal_tail(partition, 1) for partition in range(partitions)),
            *self._tails[partitions:],
            Tail(connection, subjects.FLEET, 1, self._lease, filter_subject="lease.>", on_anew=self.leases.clear),
            Tail(connection, subjects.FLEET, 1, self._member, filter_subject="member.>", on_anew=self.beats.clear),
            Tail(connection, subjects.SNAPSHOTS, 1, self._snapshot, filter_subject="snapshot.>", on_anew=self.manifests.clear),
        ]

    @property
    def size(self) -> int:
        """How much was seen: it grows as long as something happens to runs."""
        return len(self.entries) + len(self.unreadable) + len(self.letters) + sum(map(len, self.parts.values()))

    async def evidence(
        self,
        ledger: Ledger,
        client: Client | None = None,
        *,
        listed: Mapping[str, str] | None = None,
        working: Sequence[str] = (),
        canaries: Sequence[str] = (),
        logs: Sequence[Path] = (),
        **more: Any,
    ) -> Evidence:
        """Everything that was seen up to now. `client`: asks the owners about runs that have not ended. `more`: further fields."""
        await self._all_read()
        found = Evidence(
            account=ledger.account(),
            entries=list(self.entries),
            unreadable=list(self.unreadable),
            journals=self._journals(),
            parts={run: list(parts) for run, parts in self.parts.items()},
            ends=self._ends(),
            letters=list(self.letters),
            listed=listed,
            working=frozenset(working),
            now_ms=time.time_ns() // 1_000_000,
            plans=await self._plans(),
            snapshots=list(self.snapshots),
            manifests=list(self.manifests),
            leases=list(self.leases),
            beats=list(self.beats),
            sequences=[*self.seen, *await self._sequences()],
            pending=await self._pending(),
            canaries=tuple(canaries),
            logs=list(logs),
            partial=any(self._purged),
        )
        if client is not None:
            await asyncio.to_thread(replay, found)  # seconds, in which this loop may have networks to keep up
            more["open"] = await _open_runs(found, client)
        return replace(found, **more)

    async def _all_read(self) -> None:
        """Wait until what is in the streams now has been read, also behind holes."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                while True:
                    await asyncio.gather(*self._looking)
                    with suppress(Hole):
                        await self.caught_up()
                        return

    # --- following

    def _wal_tail(self, partition: int, start_seq: int) -> Tail:
        def hole(expected: int, got: int) -> None:
            task = asyncio.get_running_loop().create_task(self._go_on_behind(partition, expected, got))
            self._looking.add(task)
            task.add_done_callback(self._looking.discard)

        return Tail(self._connection, subjects.wal_stream(partition), start_seq, self._wal, on_hole=hole)

    async def _go_on_behind(self, partition: int, expected: int, got: int) -> None:
        """Follow a WAL that does not go on as it should. What went back is followed from where it still is what was read."""
        stream = subjects.wal_stream(partition)
        info = await self._connection.streams.stream_info(stream)
        first_seq = 0 if info is None else int(info["state"]["first_seq"])
        if got > expected:
            self._purged.append(info is not None and first_seq >= got)
            tail = self._wal_tail(partition, got)
        else:
            last = await self._last_that_is_there(partition, first_seq)
            if not self._was_only_shown(partition, last):
                self.seen.append(Seen(stream, last, time.time_ns()))  # not `got`: others may have made it as long again
            tail = self._wal_tail(partition, last + 1)
        self._tails[partition] = tail
        await tail.start()

    async def _last_that_is_there(self, partition: int, first_seq: int) -> int:
        """The last message that was read and is still what it was; 0 if none is."""
        read = {entry.seq: entry.at_ns for entry in self.entries if entry.partition == partition}
        for seq in sorted(read, reverse=True):
            stored = None if seq < first_seq else await self._connection.streams.get(subjects.wal_stream(partition), seq)
            if seq < first_seq or (stored is not None and stored.time_ns == read[seq]):
                return seq
        return 0

    def _was_only_shown(self, partition: int, last: int) -> bool:
        """Whether what is gone behind `last` had come just before: a server shows messages before they are on its disk, and nobody was told
        that those are. They count as never written."""
        gone = [entry for entry in self.entries if entry.partition == partition and entry.seq > last]
        newest_ns = max((entry.at_ns for entry in self.entries), default=0)
        if any(entry.at_ns < newest_ns - SHOWN_NS for entry in gone):
            return False
        self.entries = [entry for entry in self.entries if entry.partition != partition or entry.seq <= last]
        stream = subjects.wal_stream(partition)
        self.seen = [seen for seen in self.seen if seen.stream != stream or seen.seq <= last]
        for entry in gone:
            self.records[entry.record.run].remove(entry.record)
            self.durable_ns = {key: at_ns for key, at_ns in self.durable_ns.items() if (key[0], at_ns) != (entry.record.run, entry.at_ns)}
        return True

    def _wal(self, message: Message) -> None:
        partition, seq, at_ns = int(message.subject.partition(".")[2]), message.stream_seq, message.timestamp_ns
        self.seen.append(Seen(subjects.wal_stream(partition), seq, at_ns))
        try:
            entries = messages.split(message.data)
        except UnreadableRecord:
            self.unreadable.append(Unreadable(partition, seq, at_ns, message.data))
            entries = []
        for raw in map(bytes, entries):
            try:
                record = decode_record(raw)
            except UnreadableRecord:
                self.unreadable.append(Unreadable(partition, seq, at_ns, raw))
                continue
            self._note(Entry(partition, seq, at_ns, record, raw))
        self._changed.set()

    def _note(self, entry: Entry) -> None:
        record = entry.record
        self.entries.append(entry)
        self.records.setdefault(record.run, []).append(record)
        if isinstance(record, Completion):
            activation = ".".join(map(str, record.activation))
            self.durable_ns.setdefault((record.run, activation), entry.at_ns)

    def _lease(self, message: Message) -> None:
        with suppress(UnreadableRecord, ValueError):
            partition = int(message.subject.partition(".")[2])
            self.leases.append(LeaseSeen(partition, message.stream_seq, message.timestamp_ns, messages.decode(Lease, message.data)))

    def _member(self, message: Message) -> None:
        with suppress(UnreadableRecord):
            member = messages.decode(Member, message.data)
            if member.role == "coordinator":
                self.beats.append(Beat(member.id, message.timestamp_ns, tuple(member.facts.get("partitions", ()))))

    def _snapshot(self, message: Message) -> None:
        _, partition, kind, *_ = message.subject.split(".")
        if kind == "manifest":
            with suppress(msgspec.MsgspecError):
                manifest = msgspec.msgpack.decode(message.data, type=Manifest)
                self.manifests.append(ManifestSeen(int(partition), message.timestamp_ns, manifest.position, manifest.epoch))
            return
        with suppress(UnreadableRecord):
            for fields in self._segments[message.subject].feed(message.data):
                if fields[0] == RUN:
                    state = fields[STATE_AT]
                    self.snapshots.append(SnapshotSeen(fields[1], msgspec.msgpack.decode(state)[RECORDS_AT], state))

    # --- reading at the end

    def _journals(self) -> dict[str, list[Record]]:
        """As far as the history has them without a gap; of two forms of one record the first. Checkers compare the parts themselves."""
        found = {}
        for run, parts in self.parts.items():
            places: dict[int, bytes] = {}
            for part in parts:
                for place, raw in enumerate(part.records, part.first):
                    places.setdefault(place, bytes(raw))
            whole = next((place for place in range(len(places)) if place not in places), len(places))
            with suppress(UnreadableRecord):
                found[run] = [decode_record(places[place]) for place in range(whole)]
        return found

    def _ends(self) -> dict[str, Summary]:
        """The latest end of each run."""
        found: dict[str, Summary] = {}
        for run, parts in self.parts.items():
            for part in parts:
                if part.summary is not None and (run not in found or part.summary.records > found[run].records):
                    found[run] = part.summary
        return found

    async def _plans(self) -> dict[str, Plan]:
        """Of all versions that a run began with."""
        client = await Client.connect(self._connection.url)
        async with client:
            digests = {record.digest for records in self.records.values() for record in records if isinstance(record, RunStarted)}
            digests |= {summary.digest for summary in self._ends().values()}
            found = {}
            for digest in digests:
                with suppress(JetfleetError):
                    found[digest] = await client.flows.fetch(digest)
            return found

    async def _sequences(self) -> list[Seen]:
        """How far each WAL goes now."""
        found = []
        for partition in range(self._partitions):
            stream = subjects.wal_stream(partition)
            with suppress(BrokerError):
                info = await self._connection.streams.stream_info(stream)
                found.append(Seen(stream, 0 if info is None else int(info["state"]["last_seq"]), time.time_ns()))
        return found

    async def _pending(self) -> frozenset[str]:
        """The runs of the events that still wait in EVENTS."""
        found: set[str] = set()
        with suppress(BrokerError):
            async for stored in self._connection.streams.read(subjects.EVENTS):
                found.update(runs_of_event(stored.subject, stored.headers, stored.data))
        return frozenset(found)


async def _open_runs(evidence: Evidence, client: Client) -> dict[str, list[Blocked]]:
    """What the owners say of the runs that are open by the log."""
    found = {}
    for story in replay(evidence).stories.values():
        if story.is_open:
            view = await client.look(story.run)
            if view is not None:
                found[story.run] = [Blocked(*reason) for reason in view.blocked]
    return found
