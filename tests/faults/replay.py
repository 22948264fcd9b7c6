"""The replay: what a WAL says, told anew from its first record on, without a coordinator.

It follows the rules of docs/fleet.md for what a record means to a partition: a start that comes twice begins nothing, what comes before its run
waits for it, an event for nobody in particular is given to the runs that wait for it at that place, what comes after the end is left out, a run that
was reopened goes on from the records that count, and behind a hole nothing is read. The engine folds; everything around it is written here a second time, on purpose.

Does not: hold limits and collectors (their records belong to no run), forget ended runs after an hour, or tell a run whose plan it has not got.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from jetfleet.broker.engine import Run, begin, decide, hears, reopen
from jetfleet.schemas.codec import decode_record, encode_record
from jetfleet.schemas.effects import CancelTask, Dispatch, Effect, FinishRun, SetTimer
from jetfleet.schemas.messages import Part
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import (
    Activation,
    CancelRequested,
    EventReceived,
    PauseRequested,
    Record,
    ResumeRequested,
    RunReopened,
    RunStarted,
    SignalReceived,
    TimerId,
)

from .evidence import Entry, Evidence

EARLY = (SignalReceived, EventReceived, CancelRequested, PauseRequested, ResumeRequested)
"""What may come before its run."""
Attempt = tuple[Activation, int]


@dataclass
class End:
    """The run ended behind its first `records` records, at this place of the WAL."""

    records: int
    seq: int
    at_ns: int
    finish: FinishRun


@dataclass
class Story:
    """One run. `journal`: the records that count, with `entries` that they came in; `ends`: one for each life that is over.

    `dispatched`: where each attempt was given out first; `called_off`: those that were not wanted any more. `due`: of each timer that was set,
    the latest time. `defect`: the engine failed on it.
    """

    run: str
    plan: Plan
    state: Run
    journal: list[Record] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    dispatched: dict[Attempt, Entry] = field(default_factory=dict)
    called_off: set[Attempt] = field(default_factory=set)
    due: dict[TimerId, int] = field(default_factory=dict)
    is_open: bool = True
    lives: set[int] = field(default_factory=set)
    """Behind how many records it was reopened."""
    defect: str = ""

    def take(self, record: Record, entry: Entry, raw: bytes, effects: Sequence[Effect]) -> None:
        self.journal.append(record)
        self.entries.append(entry)
        self.raw.append(raw)
        for effect in effects:
            if isinstance(effect, Dispatch):
                self.dispatched.setdefault((effect.activation, effect.attempt), entry)
            elif isinstance(effect, CancelTask):
                self.called_off.add((effect.activation, effect.attempt))
            elif isinstance(effect, SetTimer):
                self.due[effect.timer] = effect.due
            elif isinstance(effect, FinishRun):
                self.ends.append(End(len(self.journal), entry.seq, entry.at_ns, effect))
                self.is_open = False

    def decide(self, record: Record, entry: Entry, raw: bytes) -> None:
        try:
            effects = decide(self.state, record)
        except Exception as error:  # every owner ends such a run as failed
            self.defect = f"{type(error).__name__}: {error}"
            effects = [FinishRun(self.run, "failed")]
        self.take(record, entry, raw, effects)

    def named(self, activation: Activation) -> str:
        """`charge[2]` for an activation."""
        return self.plan.nodes[int(activation[0])].id + "".join(f"[{step}]" for step in activation[1:])


class Replay:
    """`stories` by run; `untold`: runs that could not be told, and why."""

    def __init__(self, plans: Mapping[str, Plan], parts: Mapping[str, Sequence[Part]]) -> None:
        self.stories: dict[str, Story] = {}
        self.untold: dict[str, str] = {}
        self._plans, self._parts = plans, parts
        self._early: dict[str, list[Entry]] = {}
        self._waiting: dict[int, set[str]] = {}
        """Open runs by partition."""

    def take(self, entry: Entry) -> None:
        record = entry.record
        story = self.stories.get(record.run)
        if isinstance(record, RunStarted):
            if story is None:
                self._begin(record, entry)
        elif isinstance(record, RunReopened):
            if story is None or not story.is_open:
                self._reopen(story, record, entry)
        elif isinstance(record, EventReceived) and not record.run:
            self._tell_all(record, entry)
        elif story is not None and story.is_open:
            story.decide(record, entry, _raw(entry))
        elif story is None and isinstance(record, EARLY):
            self._early.setdefault(record.run, []).append(entry)

    def _begin(self, record: RunStarted, entry: Entry) -> None:
        plan = self._plans.get(record.digest)
        if plan is None:
            self.untold[record.run] = f"the plan {record.digest[:12]} is not at hand"
            return
        state, effects = begin(plan, record)
        self._add(Story(record.run, plan, state), record, entry, effects)

    def _reopen(self, story: Story | None, record: RunReopened, entry: Entry) -> None:
        if story is not None and record.after in story.lives:
            return  # it went on from there before
        before = story.raw if story is not None else _archived(self._parts.get(record.run, ()), record.after)
        raw = list(before[: record.after])
        journal = [decode_record(each) for each in raw]
        first = journal[0] if journal else None
        plan = self._plans.get(first.digest) if isinstance(first, RunStarted) else None
        if plan is None or len(journal) < record.after:
            self.untold[record.run] = f"it goes on behind {record.after} records, which are not at hand"
            return
        state, effects = reopen(plan, journal, record)
        if story is None:
            story = Story(record.run, plan, state, journal, [entry] * len(raw), raw)
        del story.journal[record.after :], story.entries[record.after :], story.raw[record.after :]
        story.state, story.is_open = state, True
        story.lives.add(record.after)
        self._add(story, record, entry, effects)

    def _add(self, story: Story, record: Record, entry: Entry, effects: Sequence[Effect]) -> None:
        self.stories[story.run] = story
        self._waiting.setdefault(entry.partition, set()).add(story.run)
        story.take(record, entry, _raw(entry), effects)
        for early in self._early.pop(story.run, []):
            if story.is_open:
                story.decide(early.record, entry, _raw(early))

    def _tell_all(self, record: EventReceived, entry: Entry) -> None:
        open = self._waiting.get(entry.partition, set())
        for run in sorted(open):
            story = self.stories[run]
            if not story.is_open:
                open.discard(run)
            elif hears(story.state, record.event, record.payload):
                own = msgspec.structs.replace(record, run=run)
                story.decide(own, entry, encode_record(own))


def replay(evidence: Evidence) -> Replay:
    """All partitions, each in its order. Told once for each evidence."""
    found: Replay | None = evidence.__dict__.get("_replay")
    if found is None:
        found = Replay(evidence.plans, evidence.parts)
        ends = {} if evidence.partial else holes(evidence)
        for entry in evidence.entries:
            if entry.seq < ends.get(entry.partition, entry.seq + 1):
                found.take(entry)
        if evidence.partial:
            _leave_out_the_headless(found, evidence)
        evidence.__dict__["_replay"] = found
    return found


def holes(evidence: Evidence) -> dict[int, int]:
    """By partition, the first sequence that nobody has seen, with later ones behind it."""
    seen: dict[int, set[int]] = {}
    for entry in (*evidence.entries, *evidence.unreadable):
        seen.setdefault(entry.partition, set()).add(entry.seq)
    firsts = {partition: _first_missing(seqs) for partition, seqs in seen.items()}
    return {partition: hole for partition, hole in firsts.items() if hole is not None}


def _first_missing(seqs: set[int]) -> int | None:
    return next((seq for seq in range(min(seqs), max(seqs)) if seq not in seqs), None)


def _leave_out_the_headless(found: Replay, evidence: Evidence) -> None:
    for run in evidence.of_run:
        if run and not run.startswith("=") and run not in found.stories:
            found.untold.setdefault(run, "its beginning was purged before anybody saw it")


def _archived(parts: Sequence[Part], after: int) -> list[bytes]:
    """The first records of a journal, as far as the parts have them without a gap."""
    records: list[bytes] = []
    for part in sorted(parts, key=lambda part: part.first):
        if part.first > len(records) or len(records) >= after:
            break
        records += [bytes(raw) for raw in part.records[len(records) - part.first :]]
    return records


def _raw(entry: Entry) -> bytes:
    return entry.raw or encode_record(entry.record)
