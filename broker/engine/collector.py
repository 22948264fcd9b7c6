"""A collector: what gathers the events of a flow with one key until they become one run. Pure, like the rest of the engine.

    debounce    the run begins when no event has come for `quiet`, or `max_wait` after the first one; it gets the last event
    batch       the run begins when there are `max` events, or `within` after the first one; it gets the list of their payloads

    nothing ──event──▶ open collection ──more events──▶ … ──due, or full──▶ closed ──the start of its run is on disk──▶ gone

An open collection gathers; closed ones wait for their run to be let in. A collection closes by a record and by nothing else, so its run
is the same whoever starts it: by the event that fills it, by a timer that fires, or by an event that comes after it was due.

Guarantees: every event that is taken in is in exactly one collection; what a collection holds stays below the size of one event's payload.
Does not tell a repeated event from a new one: whoever calls does (coordinator/collections.py).
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...schemas.errors import UnreadablePayload
from ...schemas.limits import PAYLOAD_INLINE_MAX_BYTES
from ...schemas.payload import NULL, Payload, decode, encode, pack_list
from ...schemas.plan.plan import BATCH, DEBOUNCE, Plan, PlanCollecting
from ...schemas.records import RunStarted

EVENTS_MAX = 10_000
"""Ids of events that a collection remembers, the last ones. A batch has no more."""
_LIST_HEAD_BYTES = 5


class Collection(msgspec.Struct, array_like=True):
    """Events on their way to one run: `run`, that of the first of them. Times in ms since the epoch.

    `latest` is the last event's own start; of a batch `head` is the first one's. Their payloads are in `payloads` instead: of a debounce
    the last one alone. `events` are the ids of the runs that the events alone would have been, the last EVENTS_MAX of them.
    """

    run: str
    mode: str
    first_at: int
    due: int
    head: RunStarted
    latest: RunStarted
    payloads: list[Payload] = []
    events: list[str] = []
    count: int = 0
    size_bytes: int = 0
    last_at: int = 0
    closed_at: int = 0


class Collector(msgspec.Struct, array_like=True):
    """What is gathered under one key of a flow. `closed` collections wait for their runs to begin, oldest first."""

    id: str
    flow: str
    open: Collection | None = None
    closed: list[Collection] = []

    @property
    def due(self) -> int | None:
        """When the open collection closes if nothing more comes."""
        return None if self.open is None else self.open.due

    @property
    def is_empty(self) -> bool:
        return self.open is None and not self.closed


def collect(collector: Collector, start: RunStarted, at: int, rules: PlanCollecting) -> None:
    """Take in the event that alone would have started a run."""
    there = collector.open
    if there is not None and (at >= there.due or there.mode != rules.mode or not _fits(there, start)):
        close(collector, min(at, there.due))
    if collector.open is None:
        collector.open = Collection(start.run, rules.mode, at, 0, _bare(start), _bare(start))
    _add(collector.open, start, at, rules)
    if rules.mode == BATCH and collector.open.count >= rules.most:
        close(collector, at)


def timer_fired(collector: Collector, at: int) -> bool:
    """Close what is due by now. False: nothing is, more events have come since the timer was set."""
    if collector.open is None or at < collector.open.due:
        return False
    close(collector, at)
    return True


def close(collector: Collector, at: int) -> None:
    """The open collection takes no more events in."""
    if collector.open is not None:
        collector.open.closed_at = at
        collector.closed.append(collector.open)
        collector.open = None


def started(collector: Collector, run: str) -> bool:
    """The run of a closed collection has begun for certain. False: it is known already."""
    left = [collection for collection in collector.closed if collection.run != run]
    changed = len(left) < len(collector.closed)
    collector.closed = left
    return changed


def start_of(collection: Collection, current: Plan | None) -> RunStarted:
    """How the run of a closed collection begins: in the flow's current version, if that one collects in the same way.

    Else in the one that took the last event in: it is written for what was gathered.
    """
    mode = None if current is None or current.collecting is None else current.collecting.mode
    digest = current.digest if current is not None and mode == collection.mode else collection.latest.digest
    base = collection.latest if collection.mode == DEBOUNCE else collection.head
    payload = collection.payloads[-1] if collection.mode == DEBOUNCE else pack_list(collection.payloads)
    return msgspec.structs.replace(
        base, run=collection.run, at=collection.closed_at, digest=digest, payload=payload, meta=_meta(base.meta, collection)
    )


def _fits(collection: Collection, start: RunStarted) -> bool:
    """Whether one more payload can travel with the others. A debounce keeps one at a time."""
    return collection.mode == DEBOUNCE or collection.size_bytes + len(start.payload) + _LIST_HEAD_BYTES <= PAYLOAD_INLINE_MAX_BYTES


def _add(collection: Collection, start: RunStarted, at: int, rules: PlanCollecting) -> None:
    collection.count += 1
    collection.events.append(start.run)
    if len(collection.events) > EVENTS_MAX:
        del collection.events[0]
    collection.last_at = max(collection.last_at, at)
    collection.latest = _bare(start)
    if collection.mode == DEBOUNCE:
        collection.payloads = [start.payload]
        latest = collection.first_at + rules.longest_ms if rules.longest_ms else collection.last_at + rules.wait_ms
        collection.due = min(collection.last_at + rules.wait_ms, latest)
    else:
        collection.payloads.append(start.payload)
        collection.size_bytes += len(start.payload)
        collection.due = collection.first_at + rules.wait_ms


def _bare(start: RunStarted) -> RunStarted:
    """Without its payload, which is kept once."""
    return msgspec.structs.replace(start, payload=NULL)


def _meta(meta: Payload, collection: Collection) -> Payload:
    """What the trigger said, and how many events there were, between when."""
    try:
        said: Any = decode(meta)
    except UnreadablePayload:
        said = None
    counted = {"count": collection.count, "first_at": collection.first_at, "last_at": collection.last_at}
    return encode({**(said if isinstance(said, dict) else {}), "collected": counted})
