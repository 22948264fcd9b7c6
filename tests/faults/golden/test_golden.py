"""What older versions have written means the same today: every journal folds to the states it had, every message can be read and written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import msgspec
import pytest

from jetfleet.broker.coordinator.owner import Progress
from jetfleet.broker.coordinator.snapshots import (
    COLLECTED,
    COLLECTOR,
    ENDED,
    GATE,
    GONE,
    RUN,
    CollectorEntry,
    Entries,
    GateEntry,
    Manifest,
    RunEntry,
)
from jetfleet.broker.definitions import compile_definition
from jetfleet.broker.deployment import Deployed
from jetfleet.broker.engine import decide, digest, restore, snapshot
from jetfleet.broker.engine.collector import Collector
from jetfleet.broker.engine.gate import Gate
from jetfleet.schemas import messages
from jetfleet.schemas.chain import chain
from jetfleet.schemas.codec import decode_record, encode_record
from jetfleet.schemas.messages import BatchedEvent, Current, DeadLetter, Definition, Ended, FlowState, Lease, Member, Part, Task
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import RunReopened, TimerFired

from ..defects import patched
from . import playback
from .playback import SHORT_BYTES, play
from .tape import FORMAT, Run, Sent, read_runs, read_wire, tapes

ALLOWED: dict[str, str] = {}
"""What may be encoded otherwise today than it was then, by the kind of message or record, with the reason."""
MUST_BE_THERE = {
    "wal",
    "tasks",
    "history",
    "snapshot",
    "manifest",
    "lease",
    "member",
    "dead",
    "plan",
    "flow",
    "events",
    "progress",
    "topology",
    "timer",
}
RUNS = [run for path in tapes("runs") for run in read_runs(path).runs]
WIRE = [sent for path in tapes("wire") for sent in read_wire(path).messages]


def of_kind(*kinds: str) -> list[Sent]:
    return [sent for sent in WIRE if kind_of(sent) in kinds]


@cache
def plan_of(definition: bytes) -> Plan:
    return compile_definition(messages.decode(Definition, definition))


def kind_of(sent: Sent) -> str:
    if sent.subject.startswith("flow.") and sent.subject.endswith(".state"):
        return "state"
    return "manifest" if sent.subject.endswith(".manifest") else sent.subject.partition(".")[0]


def unlike(found: Iterator[str]) -> list[str]:
    """The first few complaints, less what is allowed."""
    return [words for words in found if words.partition(":")[0] not in ALLOWED][:5]


def test_there_is_a_set_of_every_version_that_says_its_format() -> None:
    assert tapes("runs") and len(tapes("runs")) == len(tapes("wire"))
    assert {read_runs(path).format for path in tapes("runs")} | {read_wire(path).format for path in tapes("wire")} == {FORMAT}
    assert sum(path.stat().st_size for path in (*tapes("runs"), *tapes("wire"))) < len(tapes("runs")) << 20


# --- runs


def test_every_journal_of_then_leads_to_the_same_effects_and_states_today() -> None:
    assert unlike(words for run in RUNS for words in _played_otherwise(run)) == []


def _played_otherwise(run: Run) -> Iterator[str]:
    plan = plan_of(run.definition)
    journal = [decode_record(raw) for raw in run.records]
    step = None
    for number, step in enumerate(play(plan, journal)):
        where = f"{run.origin}, record {number} ({type(journal[number]).__name__})"
        if step.of_effects != run.effects[number]:
            yield f"{type(journal[number]).__name__}: {where} leads to other effects: {step.effects}"
            return
        if step.state != run.states[number]:
            yield f"{type(journal[number]).__name__}: {where} leaves another state"
            return
    if step is None or step.run.status != run.status:
        yield f"status: {run.origin} ends as {step and step.run.status}, and was {run.status}"


def test_an_engine_that_means_something_else_by_a_record_is_seen() -> None:
    def make(decide: Any) -> Any:
        return lambda run, record: [] if isinstance(record, TimerFired) else decide(run, record)

    with patched(playback, "decide", make):
        assert unlike(words for run in RUNS for words in _played_otherwise(run))


def test_a_run_goes_on_from_a_snapshot_of_then_as_it_did() -> None:
    assert sum(len(run.snapshots) for run in RUNS) > len(RUNS)
    assert unlike(words for run in RUNS for words in _went_on_otherwise(run)) == []


def _went_on_otherwise(run: Run) -> Iterator[str]:
    plan = plan_of(run.definition)
    journal = [decode_record(raw) for raw in run.records]
    for seen, state in run.snapshots.items():
        found = restore(plan, state)
        if snapshot(found) != state:
            yield f"snapshot: {run.origin}, after {seen} records, is encoded otherwise today"
        if bytes.fromhex(digest(found))[:SHORT_BYTES] != run.states[seen - 1]:
            yield f"snapshot: {run.origin}, after {seen} records, is another state than it was"
        if any(isinstance(record, RunReopened) for record in journal[seen:]):
            continue  # it goes on from its journal
        for record in journal[seen:]:
            decide(found, record)
        if bytes.fromhex(digest(found))[:SHORT_BYTES] != run.states[-1]:
            yield f"snapshot: {run.origin}, after {seen} records and the rest of them, leads to another state"


def test_records_of_then_are_encoded_as_they_were() -> None:
    raws = [raw for run in RUNS for raw in run.records]
    assert unlike(f"{type(record).__name__}: {raw!r}" for raw in raws if encode_record(record := decode_record(raw)) != raw) == []


def test_the_set_is_wide() -> None:
    """So many kinds of everything that a change somewhere is seen somewhere."""
    kinds = Counter(type(decode_record(raw)).__name__ for run in RUNS for raw in run.records)
    assert kinds.keys() >= {
        "RunStarted", "Completion", "TimerFired", "SignalReceived", "EventReceived", "ChildEnded", "CancelRequested", "PauseRequested",
        "ResumeRequested", "RunReopened", "SlotGranted",
    }  # fmt: skip
    assert {run.status for run in RUNS} >= {"running", "completed", "failed", "cancelled", "killed"}
    assert {kind_of(sent) for sent in WIRE} >= MUST_BE_THERE
    gates = {
        type(decode_record(bytes(raw))).__name__ for sent in of_kind("wal") if sent.data[0] != 0xC1 for raw in messages.split(sent.data)
    }
    assert gates >= {"SlotWanted", "SlotReleased", "EventCollected", "CollectionStarted", "RunReopened"}


# --- messages


def _again(type: type[msgspec.Struct], data: bytes) -> bytes:
    return messages.encode(messages.decode(type, data))


def _batch(type: type[msgspec.Struct], data: bytes) -> bytes:
    return messages.join([_again(type, bytes(raw)) for raw in messages.split(data)])


def _plainly(type: Any, data: bytes) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.decode(data, type=type))


def _records(data: bytes) -> bytes:
    return messages.join([encode_record(decode_record(bytes(raw))) for raw in messages.split(data)])


READERS: dict[str, Callable[[bytes], bytes]] = {
    "tasks": partial(_batch, Task),
    "history": partial(_batch, Part),
    "ended": partial(_batch, Ended),
    "lease": partial(_again, Lease),
    "member": partial(_again, Member),
    "dead": partial(_again, DeadLetter),
    "plan": partial(_again, Definition),
    "state": partial(_again, FlowState),
    "manifest": partial(_plainly, Manifest),
    "progress": partial(_plainly, Progress),
    "timer": _records,
}


@pytest.mark.parametrize("kind", READERS)
def test_messages_of_then_are_read_and_written_as_they_were(kind: str) -> None:
    for sent in of_kind(kind):
        again = READERS[kind](sent.data) if sent.data else b""
        assert again == sent.data or kind in ALLOWED, f"{sent.subject}: {sent.data!r}"


def test_batches_of_the_wal_of_then_hold_the_same_records() -> None:
    for sent in of_kind("wal"):
        if sent.data != b"\xc1 no record":
            assert _records(sent.data) == sent.data


def test_which_version_of_a_flow_is_current_and_how_the_fleet_is_laid_out_can_be_read() -> None:
    for sent in of_kind("flow"):
        assert not sent.data or _again(Current, sent.data) == sent.data
    for sent in of_kind("topology"):
        assert _again(Deployed, sent.data) == sent.data


def test_events_of_then_can_be_read() -> None:
    batches = [sent for sent in of_kind("events") if sent.headers.get("Jetfleet-Batch")]
    assert batches
    for sent in batches:
        assert _batch(BatchedEvent, sent.data) == sent.data


def test_definitions_of_then_compile_to_the_plan_they_were_deployed_as() -> None:
    for sent in of_kind("plan"):
        definition = messages.decode(Definition, sent.data)
        assert compile_definition(definition).digest == definition.digest == sent.subject.removeprefix("plan.")


def test_chains_of_parts_of_then_come_out() -> None:
    journals: dict[str, dict[int, bytes]] = {}
    for sent in of_kind("history"):
        for raw in messages.split(sent.data):
            part = messages.decode(Part, bytes(raw))
            journal = journals.setdefault(part.run, {})
            journal.update(enumerate(map(bytes, part.records), part.first))
            assert part.chain == chain(part.run, [journal[place] for place in range(part.first + len(part.records))])


def test_entries_of_snapshots_of_then_are_what_they_were() -> None:
    plans = {sent.subject.removeprefix("plan."): messages.decode(Definition, sent.data) for sent in of_kind("plan")}
    kinds = set()
    for sent in of_kind("snapshot"):
        for fields in Entries().feed(sent.data):
            kinds.add(fields[0])
            if fields[0] == RUN:
                entry = RunEntry(*fields)
                assert snapshot(restore(compile_definition(plans[entry.digest]), entry.state)) == entry.state
            elif fields[0] == GATE:
                assert Gate.of_data(GateEntry(*fields).state).id == fields[1]
            elif fields[0] == COLLECTOR:
                assert msgspec.msgpack.decode(CollectorEntry(*fields).state, type=Collector).id == fields[1]
    assert kinds >= {RUN, ENDED, GATE, COLLECTOR, COLLECTED} and kinds <= {RUN, GONE, ENDED, GATE, COLLECTOR, COLLECTED}
