"""The collectors of a partition: events that wait for company, and collections that wait for room.

    EventCollected ─▶ open collection ─▶ closed ─▶ RunStarted in its run's partition ─▶ CollectionStarted here ─▶ forgotten

What is open or closed is the fold of the WAL, and in snapshots. A closed collection is held until a record says that its run's start is on
disk; until then whoever owns the partition starts it, so it may be started twice, which is the same run. It starts when its flow is
deployed, is not paused, and has room.

An event that comes once more is known by the id of the run that it alone would have been. These ids are kept like those of ended runs, and
written to a segment before its collectors: an entry of a collector has then seen every event whose id stands in that segment.

Does not: give an event to a person who asks which run it is in after a take-over, once that run has begun (`joined`).
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import structlog

from ...schemas import records as rec
from ...schemas import subjects
from ...schemas.codec import encode_record
from ...schemas.effects import SetTimer
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import FAILURES
from ...schemas.records import TimerId
from ..client import BrokerError
from ..collection_views import CollectionView
from ..engine import collector as engine
from ..engine.collector import Collection, Collector
from .ended_runs import EndedRuns
from .pins import pin_for_run

if TYPE_CHECKING:
    from .partition import Partition

COLLECT = TimerId((), "collect", 1)
JOINED_MAX = 10_000
"""Events of which it is remembered, here and in no snapshot, into which run they went."""
_encode = msgspec.msgpack.Encoder().encode
_collector = msgspec.msgpack.Decoder(Collector)

log = structlog.get_logger("jetfleet.coordinator")


class Held:
    """A collector as its owner holds it. `at`: the WAL position of its last record; `segment`: of its latest snapshot, 0 for none.

    `rings_at`: for when its timer is set, 0 if it is not.
    """

    __slots__ = ("at", "collector", "rings_at", "segment")

    def __init__(self, collector: Collector, at: int = 0, segment: int = 0) -> None:
        self.collector, self.at, self.segment = collector, at, segment
        self.rings_at = 0


class Collections:
    """Those of one partition. `changed`: with records that are in no snapshot."""

    def __init__(self, home: Partition, seen: EndedRuns) -> None:
        self.changed: set[str] = set()
        self.seen = seen
        self._home = home
        self._held: dict[str, Held] = {}
        self._ahead: dict[str, int] = {}
        self._closed: dict[str, None] = {}
        """Collectors with a collection that waits for its run to begin, in the order in which they came to that."""
        self._starting: set[str] = set()
        """Runs whose start is on its way."""
        self._joined: dict[str, str] = {}

    # --- records

    def take(self, record: rec.Record, seq: int) -> str | None:
        """Take in a record of a collector. Returns the digest of the plan that is missing for it, if one is. Raises UnreadableRecord."""
        held = self._held.get(record.run)
        if isinstance(record, rec.EventCollected):
            return self._collected(record, seq)
        if isinstance(record, rec.CollectionStarted):
            self._starting.discard(record.started)
        if held is None or self._ahead.get(record.run, 0) >= seq:
            self._home.counters.records_ignored += 1
        elif isinstance(record, rec.CollectionStarted):
            self._home.counters.records_ignored += not engine.started(held.collector, record.started)
            self._moved(held, seq)
        else:
            self._home.counters.records_ignored += not engine.timer_fired(held.collector, record.at)
            self._moved(held, seq)
        return None

    def _collected(self, record: rec.EventCollected, seq: int) -> str | None:
        start = record.start
        plan = self._home.flows.plan(start.digest)
        if plan is None:
            return start.digest
        if plan.collecting is None:
            raise UnreadableRecord(f"flow {plan.name!r} does not collect events in this version")
        if self._is_known(record.run, start.run, seq):
            self._home.counters.records_ignored += 1
            return None
        held = self._held.get(record.run)
        if held is None:
            held = self._held[record.run] = Held(Collector(record.run, plan.name))
        engine.collect(held.collector, start, record.at, plan.collecting)
        self.seen.add(_mark(start.run))
        self._note_joined(start.run, held.collector)
        self._moved(held, seq)
        return None

    def _is_known(self, id: str, event: str, seq: int) -> bool:
        """Whether the event has been taken in before: by the snapshot that we began with, or from an earlier record."""
        if self._ahead.get(id, 0) >= seq:
            if _mark(event) not in self.seen:
                self.seen.add(_mark(event))
            return True
        return _mark(event) in self.seen

    def _note_joined(self, event: str, collector: Collector) -> None:
        """A batch that the event has filled is closed already."""
        collection = collector.open or collector.closed[-1]
        self._joined[event] = collection.run
        if len(self._joined) > JOINED_MAX:
            del self._joined[next(iter(self._joined))]

    def _moved(self, held: Held, seq: int) -> None:
        """One that is empty now stays until the next snapshot begins: one that is being written must say that it has seen its end."""
        held.at = seq
        self.changed.add(held.collector.id)
        self._note_closed(held.collector)
        if not self._home.repeating:
            self._act(held)

    def _note_closed(self, collector: Collector) -> None:
        if collector.closed:
            self._closed[collector.id] = None
        else:
            self._closed.pop(collector.id, None)

    # --- what comes of it

    def _act(self, held: Held) -> None:
        """Set the timer that the open collection needs, and start what is closed, as far as there is room."""
        id, due = held.collector.id, held.collector.due
        if due is None and held.rings_at:
            self._home.timers.near.clear(id, COLLECT)
            held.rings_at = 0
        elif due is not None and (not held.rings_at or due < held.rings_at):
            held.rings_at = due
            self._home.timers.near.set(SetTimer(id, COLLECT, due))
        for collection in held.collector.closed:
            self._start(held, collection)

    def rang(self, id: str, now_ms: int) -> bool:
        """The timer of a collector is due. False: more has come since it was set, and it was set anew."""
        held = self._held.get(id)
        if held is None:
            return True
        held.rings_at = 0
        due = held.collector.due
        if due is None or due <= now_ms:
            return True
        self._act(held)
        return False

    def _start(self, held: Held, collection: Collection) -> None:
        home, flow = self._home, held.collector.flow
        current = home.flows.current(flow)
        if collection.run in self._starting or current is None or home.flows.is_held(flow) or home.around.admission.room(current) < 1:
            return
        self._starting.add(collection.run)
        record = engine.start_of(collection, current)
        home.around.admission.started(current, record.run, home.around.holds(subjects.partition_of(record.run, home.partitions)))
        pin_for_run(home.outbox, record.run, record.payload)
        home.outbox.record(record.run, encode_record(record), Start(self, held.collector.id, record.run))

    def start_settled(self, id: str, run: str, error: BrokerError | None) -> None:
        """What `Start` passes on."""
        if error is not None:
            self._starting.discard(run)
            log.error("a collection cannot be started yet", collector=id, run=run, code=error.code, reason=str(error))
        elif self._home.around.holds(self._home.number):
            record = rec.CollectionStarted(id, time.time_ns() // 1_000_000, run)
            self._home.outbox.wal(self._home.number, encode_record(record))

    def go_on(self, flow: str) -> None:
        """There may be room for the flow's runs. Where there is none, thousands of collections that wait for it are not looked at."""
        if not self._closed or self._home.repeating or self._home.abandoned:
            return
        for id in list(self._closed):
            held = self._held[id]
            if held.collector.flow != flow:
                continue
            if not self._may_start(flow):
                return
            self._act(held)

    def _may_start(self, flow: str) -> bool:
        current = self._home.flows.current(flow)
        return current is not None and not self._home.flows.is_held(flow) and self._home.around.admission.room(current) > 0

    def recovered(self) -> None:
        """The end of the WAL has been reached: set the timers, start what is closed."""
        self._ahead.clear()
        for held in self._held.values():
            held.rings_at = 0
            self._act(held)

    # --- questions

    def joined(self, event: str) -> str | None:
        """The run that the event is, or will be, a part of; "" if that is not known any more, None if the event has not been taken."""
        return self._joined.get(event, "" if _mark(event) in self.seen else None)

    def waiting(self) -> list[tuple[str, Collection]]:
        """All collections with their flows, the closed ones first."""
        holders = [held.collector for held in self._held.values()]
        closed = [(each.flow, collection) for each in holders for collection in each.closed]
        return closed + [(each.flow, each.open) for each in holders if each.open is not None]

    def views(self) -> list[CollectionView]:
        """The same for people."""
        everything = [(held.collector, each) for held in self._held.values() for each in (*held.collector.closed, held.collector.open)]
        return [
            CollectionView(owner.id, owner.flow, it.run, it.mode, it.count, it.first_at, it.last_at, it.due, it.closed_at)
            for owner, it in everything
            if it is not None
        ]

    # --- snapshots

    def adopt(self, id: str, at: int, state: bytes, segment: int, snapshot_at: int) -> None:
        """Put a collector in from a snapshot. Raises UnreadableRecord."""
        try:
            collector = _collector.decode(state)
        except FAILURES as error:
            raise UnreadableRecord(f"what segment {segment} holds of collector {id} is no state of one: {error}") from None
        self._held[id] = Held(collector, at, segment)
        self._note_closed(collector)
        if at > snapshot_at:
            self._ahead[id] = at
        if collector.is_empty:
            self.changed.add(id)
        for collection in (*collector.closed, *filter(None, [collector.open])) if len(self._joined) < JOINED_MAX else ():
            self._joined.update(dict.fromkeys(collection.events, collection.run))

    def take_gone(self) -> list[tuple[str, int]]:
        """Forget the empty collectors, at the beginning of a snapshot. Returns those that have one, with the segment that holds it."""
        empty = [held for id in self.changed if (held := self._held[id]).collector.is_empty]
        for held in empty:
            del self._held[held.collector.id]
            self.changed.discard(held.collector.id)
        return [(held.collector.id, held.segment) for held in empty if held.segment]

    def entry(self, id: str, segment: int, live: Counter[int]) -> tuple[str, int, bytes]:
        """A collector for a segment: its id, up to where it has seen the WAL, its state. `live`: entries by segment."""
        held = self._held[id]
        if not held.collector.is_empty:
            self.changed.discard(id)
        if held.segment:
            live[held.segment] -= 1
        held.segment = segment
        live[segment] += 1
        return id, held.at, _encode(held.collector)

    def in_segment(self, segment: int) -> list[str]:
        """The collectors whose latest snapshot is there."""
        return [id for id, held in self._held.items() if held.segment == segment]


def is_of_collector(record: rec.Record) -> bool:
    kind = type(record)
    return kind is rec.EventCollected or kind is rec.CollectionStarted or (kind is rec.TimerFired and record.timer == COLLECT)  # type: ignore[union-attr]


class Start:
    """The receipt of a run's start."""

    __slots__ = ("_collections", "_id", "_run")

    def __init__(self, collections: Collections, id: str, run: str) -> None:
        self._collections, self._id, self._run = collections, id, run

    def settled(self, count: int, error: BrokerError | None) -> None:
        self._collections.start_settled(self._id, self._run, error)


def _mark(event: str) -> str:
    """By what an event is remembered: not its run's id itself, for a run of that id may begin here."""
    return f"{event} collected"
