"""Targets: the engine under records that anybody could have written, and the states that are read back from snapshots.

A record may be well-formed and mean nothing: an attempt of a node that the flow does not have, a time at the end of all numbers. The engine
ignores it or the run fails; and what it takes in has to stay writable for ever after: a state that no snapshot can hold would keep the WAL
of a whole partition from being cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace

import msgspec

from jetfleet.broker import engine
from jetfleet.broker.coordinator.ended_runs import EndedRuns
from jetfleet.broker.coordinator.open_run import OpenRun
from jetfleet.broker.coordinator.questions import view
from jetfleet.broker.coordinator.snapshots import COLLECTOR, ENDED, GATE, GONE, RUN, CollectorEntry, Entries, GateEntry, RunEntry, Snapshots
from jetfleet.broker.engine import collector
from jetfleet.broker.engine.collector import Collector
from jetfleet.broker.engine.gate import Gate
from jetfleet.schemas import messages
from jetfleet.schemas.codec import decode_batch, encode_batch, encode_record
from jetfleet.schemas.errors import UnreadableRecord
from jetfleet.schemas.plan.plan import PlanCollecting
from jetfleet.schemas.records import EventCollected, Record, RunStarted, SlotReleased, SlotWanted

from ...engine.driving import Driver, compiled
from .target import Target
from .wire import NOW_MS

PLAN = compiled("""
nodes:
  fetch: {type: my.fetch, retry: {max_attempts: 3, initial_delay_ms: 10, jitter: false}}
  each: {type: std::split, config: {field: items, mode: parallel, max_parallel: 2}}
  work: {type: my.work, timeout_ms: 500, concurrency: {max: 2}}
  decide: {type: std::wait, config: {hook_id: ok, timeout_secs: 60}}
  slow: {type: my.slow, retry: {max_attempts: 9}}
edges:
  - {from: fetch, to: each}
  - {from: each.item, to: work}
  - {from: each.done, to: decide}
  - {from: fetch, to: slow}
""")
_encode = msgspec.msgpack.Encoder().encode


@cache
def _played() -> Driver:
    """A run in the middle of everything: a split, a retry, a wait, an attempt under way."""
    driver = Driver(PLAN, {"n": 5, "items": [1, 2, 3]})
    driver.fail("fetch")
    driver.fire("fetch", "retry")
    driver.complete("fetch", {"n": 5, "items": [1, 2, 3]})
    driver.fail("slow")
    return driver


def _journals() -> Sequence[bytes]:
    journal = _played().journal
    return [encode_batch(journal[:count]) for count in range(1, len(journal) + 1)]


def _states() -> Sequence[bytes]:
    return [engine.snapshot(_played().run), engine.snapshot(Driver(PLAN, {"items": []}).run)]


def _play(data: bytes) -> None:
    """As the owner of a partition takes a journal in, and as it writes and tells of the run then."""
    first, *rest = _records(data)
    if not isinstance(first, RunStarted):
        raise UnreadableRecord("a journal begins with RunStarted")
    run, _ = engine.begin(PLAN, first)
    for record in rest:
        if not isinstance(record, RunStarted):
            _encode(engine.decide(run, record))
    state = engine.snapshot(run)
    engine.restore(PLAN, state)
    _encode([engine.timers(run) and [timer.due for timer in engine.timers(run)], list(engine.outstanding(run))])
    messages.encode(view(OpenRun.begun(run, 1)))


def _records(data: bytes) -> list[Record]:
    records, _ = decode_batch(data)
    if not records:
        raise UnreadableRecord("no records")
    return records


def _restored(data: bytes) -> None:
    engine.restore(PLAN, data)


class _Partition:
    """As much of one as the entries of a segment are put into before their runs are."""

    def __init__(self) -> None:
        self.ended, self.collections = EndedRuns(100), SimpleNamespace(seen=EndedRuns(100))


def _segments() -> Sequence[bytes]:
    run = RunEntry(
        RUN,
        "r1",
        PLAN.digest,
        7,
        0,
        "",
        engine.snapshot(_played().run),
        [["paid", "order", "5"], "old"],
        True,
        b"c" * 32,
        [["signal"]],
        0,
        False,
    )
    others = [
        [GONE, "r2"],
        [ENDED, *EndedRuns(100).write(1, NOW_MS)],
        CollectorEntry(COLLECTOR, "=collect:f:ann", 7, _encode(Collector("=collect:f:ann", "f"))),
        GateEntry(GATE, "limit", 7, _gate_state()),
    ]
    return [b"".join(map(_encode, [run, *others])), _encode(run)]


def _segment(data: bytes) -> None:
    """The entries of a segment as whoever takes a partition over reads them."""
    snapshots, latest = Snapshots(None, 0), {}  # type: ignore[arg-type, var-annotated]
    for entry in Entries().feed(data):
        snapshots._take(entry, 1, latest, _Partition())  # type: ignore[arg-type]
    for _, entry in latest.values():
        if isinstance(entry, RunEntry):
            engine.restore(PLAN, engine.untrimmed(entry.id, PLAN.digest, entry.state))


def _asked() -> Sequence[bytes]:
    wanted = [SlotWanted("limit", NOW_MS, f"run-{number}", (number,), 1, 2, "queue", 0, 0, number, "ann") for number in range(4)]
    paced = [SlotWanted("limit", NOW_MS, "run-1", (), 1, 5, "queue", 1_000, 10)]
    return [encode_batch([*wanted, SlotReleased("limit", NOW_MS, "run-1", (1,), 1)]), encode_batch(paced)]


def _gate(data: bytes) -> None:
    """A limit that has taken anything in can be written, and its answers too."""
    gate = Gate("limit")
    for record in _records(data):
        if isinstance(record, (SlotWanted, SlotReleased)):
            for answer in gate.take(record):
                encode_record(answer)
    state = _encode(gate.as_data())
    Gate.of_data(msgspec.msgpack.decode(state))


def _collected() -> Sequence[bytes]:
    starts = [RunStarted(f"f-{number}", NOW_MS + number, "f", "d" * 64, None, _encode(number)) for number in range(3)]
    return [encode_batch([EventCollected("=collect:f:ann", NOW_MS, start) for start in starts])]


def _collection(data: bytes) -> None:
    """A collector that has taken anything in can be written, and the start of its run too."""
    for rules in (PlanCollecting("debounce", 50, 500), PlanCollecting("batch", 50, most=2)):
        gathered = Collector("=collect:f:ann", "f")
        for record in _records(data):
            if isinstance(record, EventCollected):
                collector.collect(gathered, record.start, record.at, rules)
        _encode(gathered)
        for closed in gathered.closed:
            encode_record(collector.start_of(closed, None))


TARGETS = (
    Target("journal", _play, _journals, (UnreadableRecord,)),
    Target("state in a snapshot", _restored, _states, (UnreadableRecord,)),
    Target("segment of snapshots", _segment, _segments, (UnreadableRecord,)),
    Target("records of a limit", _gate, _asked, (UnreadableRecord,)),
    Target("state of a limit", lambda data: Gate.of_data(msgspec.msgpack.decode(data)).as_data(), lambda: [_encode(_gate_state())], (UnreadableRecord, msgspec.MsgspecError, ValueError, RecursionError)),
    Target("records of a collector", _collection, _collected, (UnreadableRecord,)),
)  # fmt: skip


def _gate_state() -> list[object]:
    gate = Gate("limit")
    for data in _asked()[:1]:
        for record in _records(data):
            gate.take(record)  # type: ignore[arg-type]
    return gate.as_data()
