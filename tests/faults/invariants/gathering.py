"""I1 and I2 for events that are gathered: each is in the run of its collection, and a collection that is due begins.

Collectors are folded here from the log, by the engine's pure functions and without the coordinator's part of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from jetfleet.broker.engine.collector import Collection, Collector, collect, start_of, started, timer_fired
from jetfleet.schemas.records import CollectionStarted, EventCollected, RunStarted, TimerFired

from ..evidence import Evidence
from ..replay import replay
from .open_runs import GRACE_MS, now_ms


@dataclass
class Gathered:
    """`begun`: collections whose run is on disk."""

    collectors: dict[str, Collector] = field(default_factory=dict)
    begun: dict[str, Collection] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)


def wrongly_gathered(evidence: Evidence) -> Iterator[str]:
    """Runs that began with something else than was gathered for them."""
    starts = {entry.record.run: entry for entry in reversed(evidence.entries) if isinstance(entry.record, RunStarted)}
    for run, collection in _gathered(evidence).begun.items():
        entry = starts.get(run)
        if entry is None:
            yield f"the collection of run {run} counts as begun, and the log has no start of it"
        elif isinstance(entry.record, RunStarted) and entry.record.payload != start_of(collection, None).payload:
            yield f"run {run} began at seq {entry.seq} with something else than the {collection.count} events that were gathered for it"


def never_begun(evidence: Evidence) -> Iterator[str]:
    """Collections that are due, and whose flow has no other run open that could take up its room."""
    busy = {story.plan.name for story in replay(evidence).stories.values() if story.is_open}
    for collector in _gathered(evidence).collectors.values():
        due = [collection.closed_at for collection in collector.closed] + ([collector.due] if collector.due is not None else [])
        late_ms = max((now_ms(evidence) - at for at in due), default=0)
        if late_ms > GRACE_MS and collector.flow not in busy:
            yield f"what {collector.id} has gathered was due {late_ms:,} ms ago, and no run of it has begun"


def _gathered(evidence: Evidence) -> Gathered:
    found = Gathered()
    for entry in () if evidence.partial else evidence.entries:
        record = entry.record
        if isinstance(record, EventCollected):
            _collect(found, record, evidence)
        elif (collector := found.collectors.get(record.run)) is None:
            continue
        elif isinstance(record, TimerFired):
            timer_fired(collector, record.at)
        elif isinstance(record, CollectionStarted):
            found.begun.update({each.run: each for each in collector.closed if each.run == record.started})
            started(collector, record.started)
    return found


def _collect(found: Gathered, record: EventCollected, evidence: Evidence) -> None:
    plan = evidence.plans.get(record.start.digest)
    if plan is None or plan.collecting is None or record.start.run in found.seen:
        return
    found.seen.add(record.start.run)
    collector = found.collectors.setdefault(record.run, Collector(record.run, plan.name))
    collect(collector, record.start, record.at, plan.collecting)
