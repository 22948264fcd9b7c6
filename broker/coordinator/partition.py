"""A partition: the fold of its WAL, and the effects that come of it.

Records are taken in strictly in the order of the WAL. Up to `silent_until` (what an earlier owner has seen acknowledged) they only move the
state; from there on their effects are carried out. Nothing here waits: what has to be there first (a plan, a journal, the end of a long
broadcast) holds up this partition and no other (held_messages.py).

Guarantees: the state is a function of the WAL alone, so any owner comes to the same one; a record that cannot be decoded, or that
makes the engine fail, harms no other run.
"""

from __future__ import annotations

import time
from collections import Counter

import msgspec
import structlog

from ...schemas import messages
from ...schemas import records as rec
from ...schemas.codec import decode_record, encode_record
from ...schemas.effects import Await, Effect, FinishRun, SetTimer, StopAwaiting, WantSlot
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import DeadLetter, Ended
from ..client import Message
from ..engine import begin, decide, event_waits, is_queued, outstanding
from ..engine.claims import everything
from ..engine.event_waits import Correlation
from ..flow_states import holds_runs
from .acknowledged import Acknowledged, Ticket
from .archiving import Archiving
from .awaited_events import AwaitedEvents
from .broadcast import Broadcast
from .collections import Collections, is_of_collector
from .early_records import EarlyRecords
from .effects import Unasked, ask_what_is_left, carry_out, note_wait
from .ended_runs import EndedRuns, life_of
from .families import Families
from .gates import OF_GATES, Gates
from .held_messages import HeldMessages, HeldUpBy
from .open_run import OpenRun
from .queued_runs import QueuedRuns
from .recent_decisions import RecentDecisions
from .recent_ends import RecentEnds, short
from .reopening import is_new
from .run_timers import RunTimers
from .surroundings import Surroundings
from .waiting_runs import WaitingRuns

TAIL_MAX_BYTES = 512 * 1024
"""A longer tail is archived in the middle of a run: the parts of a journal must fit into messages."""

log = structlog.get_logger("jetfleet.coordinator")


class Partition:
    """`position` is the last WAL message taken in. `repeating`: the tasks given out may have been given out before."""

    def __init__(self, number: int, around: Surroundings, position: int, silent_until: int, ended: EndedRuns) -> None:
        self.number = number
        self.around = around
        self.partitions = around.partitions
        self.outbox, self.flows, self.counters, self.tracing = around.outbox, around.flows, around.counters, around.tracing
        self.locality = around.locality
        self.position = position
        self.silent_until = silent_until
        self.acknowledged = Acknowledged(position)
        self.runs: dict[str, OpenRun] = {}
        self.changed: set[str] = set()
        """Runs with records that are not in the history yet."""
        self.gone: list[tuple[str, int]] = []
        """Runs that have a snapshot, and have ended since the last one; with the segment that holds it."""
        self.records = 0
        """Taken in by this owner."""
        self.ended = ended
        self.archiving = Archiving()
        self.families = Families()
        self.early = EarlyRecords()
        self.recent = RecentEnds()
        self.collections = Collections(self, EndedRuns(ended.most))
        self.gates = Gates(self)
        self.ahead: dict[str, int] = {}
        """Runs whose snapshot was taken later than the partition's: they have seen the WAL up to there."""
        self.open_by_flow: Counter[str] = Counter()
        self.awaited = AwaitedEvents()
        self.waiting = WaitingRuns()
        self.queued = QueuedRuns()
        self.decisions = RecentDecisions()
        self.timers = RunTimers(self)
        self.repeating = True
        self.tasks_come_later = False
        """No task is given out while the WAL is read: behind its end all that are outstanding are (`repeat_outstanding`). Of two copies
        that came together two workers would hear that theirs is wanted."""
        self.unasked: list[Unasked] | None = []
        """Slots to ask for when the WAL has been read, as far as no answer stands in it; None: it has been."""
        self.abandoned = False
        """A message was left out: the state is worth nothing any more."""
        self.now_ms = 0
        self._held = HeldMessages(self)

    # --- taking in

    def take(self, message: Message) -> None:
        """The next message of the WAL."""
        if self.abandoned or self.is_outdone():
            return
        ticket = self.acknowledged.open(message.stream_seq)
        try:
            entries = messages.split(message.data)
        except UnreadableRecord as error:
            self.bury(message, message.data, error, ticket)
            entries = []
        self._held.add(message, entries, ticket)

    def is_outdone(self) -> bool:
        """Whether somebody else may own it now. Then nothing may be taken in any more: what is left out here would be missing.

        Whoever holds leases will have this owner let go, in order if it can be.
        """
        if not self.around.holds(self.number):
            self.abandoned = True
        return self.abandoned

    def take_entry(self, message: Message, raw: msgspec.Raw, ticket: Ticket) -> HeldUpBy | None:
        """Take one entry in, or keep it with the dead. Returns what holds up the next: the digest of a missing plan, a long broadcast, …"""
        try:
            return self._take_record(decode_record(raw), raw, message.stream_seq, ticket)
        except UnreadableRecord as error:
            self.bury(message, bytes(raw), error, ticket)
        except Exception as error:  # a defect must not close the partition to all the others
            log.error("a record cannot be taken in: a defect of jetfleet", partition=self.number, seq=message.stream_seq, exc_info=error)
            defect = UnreadableRecord(f"a defect of jetfleet: {type(error).__name__}: {error}")
            self.bury(message, bytes(raw), defect, ticket)
        return None

    def _take_record(self, record: rec.Record, raw: msgspec.Raw, seq: int, ticket: Ticket) -> HeldUpBy | None:
        self.counters.records_folded += 1
        run = self.runs.get(record.run)
        if type(record) is rec.RunStarted:
            if run is None and record.run not in self.ended:
                return self._start(record, raw, seq, ticket)
            self.around.run_begun(record.flow, record.run)  # by an earlier delivery of its event
            self.counters.records_ignored += 1
            return None
        if type(record) is rec.RunReopened:
            is_to_open = is_new(self, record)
            self.counters.records_ignored += not is_to_open
            return record if is_to_open else None
        if run is not None:
            if self.ahead.get(record.run, 0) >= seq:
                self.counters.records_ignored += 1
            else:
                self.decide(run, record, raw, seq, ticket)
            return None
        if type(record) is rec.EventReceived and not record.run:
            broadcast = Broadcast(self, record, seq, ticket)
            return None if broadcast.go_on() else broadcast
        if is_of_collector(record):
            return self.collections.take(record, seq)
        if isinstance(record, OF_GATES):
            self.gates.take(record, seq, ticket)
            return None
        if type(record) is rec.SlotGranted:
            self.gates.give_back(record, seq, ticket)
        kept = record.run not in self.ended and self.early.keep(record, bytes(raw), seq)
        self.counters.records_ignored += not kept  # of a run that has ended
        return None

    def _start(self, record: rec.RunStarted, raw: msgspec.Raw, seq: int, ticket: Ticket) -> str | None:
        plan = self.flows.plan(record.digest)
        if plan is None:
            return record.digest
        self.around.run_begun(plan.name, record.run)
        state, effects = begin(plan, record)
        run = self.runs[record.run] = OpenRun.begun(state, seq, record.trace)
        self.changed.add(record.run)
        run.remember(raw, seq)
        self.open_by_flow[plan.name] += 1
        self.families.begun(record.run)
        self.counters.runs_started += 1
        self.carry_out(run, effects, seq, ticket)
        self.take_early(run, seq, ticket)
        return None

    def take_early(self, run: OpenRun, seq: int, ticket: Ticket) -> None:
        """Have a run that is open now take in what it was told before."""
        for early in self.early.take(run.run.id):
            if run.run.id in self.runs:
                self.decide(run, decode_record(early), early, seq, ticket)

    def decide(self, run: OpenRun, record: rec.Record, raw: msgspec.Raw | bytes, seq: int, ticket: Ticket) -> None:
        """Have a run take in a record, and carry out what comes of it."""
        state = run.run
        if not run.count:
            self.changed.add(state.id)
        run.remember(raw, seq)
        ignored = state.ignored
        try:
            effects = decide(state, record)
        except Exception as error:  # a defect of the engine must not stop the others
            effects = self._broken(run, error)
        else:
            if self.queued and state.id in self.queued and not is_queued(state):
                self.queued.discard(state.id)
            if state.ignored != ignored:
                self.counters.records_ignored += 1
            elif type(record) is rec.Completion and record.error is None:
                self.outbox.durations.note(state.plan.nodes[record.activation[0]].type, record.took_us)  # type: ignore[index]
            elif type(record) is rec.PauseRequested and record.with_flow and seq > self.silent_until:
                self._paused_with_flow(run, ticket)
        self.carry_out(run, effects, seq, ticket)
        if len(run.tail) > TAIL_MAX_BYTES and state.id in self.runs:  # in silence too: it would grow beyond a message
            self.outbox.part(state.plan.name, run.cut(), ticket)

    def _paused_with_flow(self, run: OpenRun, ticket: Ticket) -> None:
        """An owner that was cut off may have written it, and the flow may go on since: nobody looks for such runs any more."""
        if not holds_runs(self.flows.state(run.plan.name)):
            self.outbox.wal(self.number, encode_record(rec.ResumeRequested(run.run.id, self.now_ms, True)), ticket)

    def carry_out(self, run: OpenRun, effects: list[Effect], seq: int, ticket: Ticket) -> None:
        """Do what came of the message `seq`; in silence only what moves the partition's own state."""
        if seq > self.silent_until:
            for effect in effects:
                carry_out(self, run, effect, ticket)
            return
        for effect in effects:
            if type(effect) is FinishRun:
                self._forget(run)
            elif type(effect) is Await or type(effect) is StopAwaiting:
                note_wait(self, run, effect)
            elif type(effect) is WantSlot and not effect.activation:
                self.queued.add(effect.run, run.plan.name)

    def bury(self, message: Message, data: bytes, error: UnreadableRecord, ticket: Ticket) -> None:
        """Keep what cannot be read, and go on. In silence it has been kept before."""
        if message.stream_seq <= self.silent_until:
            return
        self.counters.dead_letters += 1
        where = f"partition {self.number}, sequence {message.stream_seq}"
        log.warning("a record cannot be taken in", partition=self.number, seq=message.stream_seq, reason=str(error))
        ticket.pending += 1
        letter = DeadLetter("record", error.code, str(error), message.subject, data, self.now_ms, dict(message.headers), where)
        self.outbox.dead(letter, lambda: ticket.settled(1, None))

    def _broken(self, run: OpenRun, error: Exception) -> list[Effect]:
        """The engine failed on this run. The same record makes it fail everywhere, so every owner ends it the same way."""
        log.error("the engine failed on a run; it ends as failed", run=run.run.id, partition=self.number, exc_info=error)
        failure = rec.Error("internal", f"a defect of jetfleet: {type(error).__name__}: {error}", False)
        for event, correlation in event_waits(run.run):
            self.awaited.discard(run.run.id, event, correlation)
        run.run.status, run.run.error = "failed", failure
        return [*everything(run.run), FinishRun(run.run.id, "failed", error=failure)]

    @property
    def safe_position(self) -> int:
        """Up to where the runs say it all: what waits for a run that has not begun is still needed from the WAL."""
        return self.early.oldest - 1 if self.early.oldest else self.position

    @property
    def within_message(self) -> bool:
        """Whether a message is only half taken in, because a plan is being fetched or a broadcast goes on: no moment for a snapshot."""
        return bool(self._held)

    # --- ends

    def run_ended(self, run: OpenRun, notice: Ended) -> None:
        """The run is over: forget it, and tell whoever waits for it."""
        self._forget(run)
        self.counters.run_ended(notice.status)
        self.around.run_ended(run.run.plan, notice.run, notice.status)
        self.recent.add(notice)
        self.outbox.ended(self.number, short(notice))

    def _forget(self, run: OpenRun) -> None:
        id = run.run.id
        del self.runs[id]
        self.ahead.pop(id, None)
        self.changed.discard(id)
        self.ended.add(id)
        if run.reopened:
            self.ended.add(life_of(id, run.reopened))
        self.open_by_flow[run.plan.name] -= 1
        self.families.ended(id)
        self.waiting.forget(run.plan.name, id)
        self.queued.discard(id)
        if run.segment:
            self.gone.append((id, run.segment))

    # --- taking over

    def adopt(self, id: str, run: OpenRun, snapshot_at: int, waits: list[tuple[str, Correlation]], asks: list[list[str]]) -> None:
        """Put a run in from a snapshot, before the WAL is followed. `waits`: for events; `asks`: as in `WaitingRuns`."""
        self.runs[id] = run
        self.open_by_flow[run.plan.name] += 1
        self.families.begun(id)
        if run.at > snapshot_at:
            self.ahead[id] = run.at
        for event, correlation in waits:
            self.awaited.add(id, event, correlation)
        self.waiting.adopt(run.plan.name, id, asks)

    def recovered(self) -> None:
        """The end of the WAL has been reached: what lives in memory is built from the state, and from now on nothing is a repetition."""
        self.timers.recovered()
        self.ahead.clear()
        self.repeating = False
        self.collections.recovered()
        self.gates.recovered()
        unasked, self.unasked = self.unasked or [], None
        ask_what_is_left(self, unasked)

    def repeat_outstanding(self) -> int:
        """The tasks in memory are gone: give out again what every run waits for. Returns how many effects that was."""
        ticket = self.acknowledged.open(self.position)
        was_repeating, self.repeating = self.repeating, True
        self.tasks_come_later = False
        self.now_ms = time.time_ns() // 1_000_000
        repeated = 0
        awake = [run for run in self.runs.values() if not run.rests]  # the others have no tasks out
        for run in awake:
            for effect in outstanding(run.run):
                if type(effect) not in (SetTimer, Await):  # neither is in the server's memory
                    carry_out(self, run, effect, ticket)
                    repeated += 1
        self.repeating = was_repeating
        ticket.settled(1, None)
        return repeated

    def stop(self) -> None:
        """Act for the partition no more."""
        self.abandoned = True
        self.timers.stop()
        self._held.clear()
