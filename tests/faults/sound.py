"""Evidence that is sound, made by hand: some runs of one flow that the engine played, as a log, a history and a ledger have them.

What a checker must see is made by changing one thing in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from jetfleet.broker.engine import Run, begin, decide, snapshot
from jetfleet.schemas.chain import chain
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.effects import Dispatch, Effect, FinishRun, SetTimer
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.messages import Lease, Part, Summary
from jetfleet.schemas.payload import encode
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import Completion, Record, RunStarted, TimerFired
from jetfleet.schemas.subjects import run_id

from . import flows
from .evidence import Beat, Entry, Evidence, LeaseSeen, ManifestSeen, Seen, SnapshotSeen, Usage, Value
from .ledger import Ledger

START_MS = 1_800_000_000_000
STEP_MS = 10
RUNS = 3
NS = 1_000_000


class Stage:
    """Plays runs one after the other; each step is a message of partition 0 and takes STEP_MS."""

    def __init__(self) -> None:
        self.plan: Plan = compile_flow(Flow.model_validate(flows.timed()))
        self.now_ms, self.seq = START_MS, 0
        self.entries: list[Entry] = []
        self.parts: dict[str, list[Part]] = {}
        self.ends: dict[str, Summary] = {}
        self.snapshots: list[SnapshotSeen] = []
        self.ledger = Ledger(None, now_ns=lambda: self.now_ms * NS)

    def play(self, key: str) -> None:
        """One run to its end."""
        run = run_id(self.plan.name, key)
        self.ledger.acked(key, run)
        first = self._logged(RunStarted(run, self.now_ms, self.plan.name, self.plan.digest, "go", encode({"key": key})))
        assert isinstance(first, RunStarted)
        state, effects = begin(self.plan, first)
        journal: list[Record] = [first]
        while not any(isinstance(effect, FinishRun) for effect in effects):
            record = next(self._answers(effects))
            journal.append(self._logged(record))
            effects = decide(state, record)
            self.snapshots.append(SnapshotSeen(run, len(journal), snapshot(state)))
        self._archive(state, journal)
        self.ledger.terminal(run, state.status)

    def _logged(self, record: Record) -> Record:
        self.seq += 1
        self.entries.append(Entry(0, self.seq, self.now_ms * NS, record, encode_record(record)))
        return record

    def _answers(self, effects: list[Effect]) -> Iterator[Record]:
        for effect in effects:
            self.now_ms += STEP_MS
            if isinstance(effect, Dispatch):
                activation = ".".join(map(str, effect.activation))
                key = f"{effect.run}/{self.plan.nodes[int(effect.activation[0])].id}"
                self.ledger.effect(effect.run, activation, effect.attempt, "worker-1", key)
                self.now_ms += STEP_MS
                yield Completion(effect.run, self.now_ms, effect.activation, effect.attempt, output=effect.input)
            elif isinstance(effect, SetTimer):
                self.now_ms = effect.due + 1
                yield TimerFired(effect.run, self.now_ms, effect.timer)

    def _archive(self, state: Run, journal: list[Record]) -> None:
        plan, raw = self.plan, [encode_record(record) for record in journal]
        summary = Summary(
            plan.name, plan.version, plan.digest, state.status, "go", state.started_at, state.updated_at, state.output, records=len(raw)
        )
        part = Part(state.id, 0, [msgspec.Raw(each) for each in raw], summary, chain(state.id, raw))
        self.parts[state.id], self.ends[state.id] = [part], summary


def sound() -> Evidence:
    """Three runs that ended, with everything that a checker can ask for."""
    stage = Stage()
    for number in range(RUNS):
        stage.play(f"k{number}")
    stage.ledger.refused("k9", "STREAM_FULL")
    for run in stage.ends:
        stage.ledger.expected(run, "completed")
    stage.ledger.fault("nothing much")
    begin_ns, end_ns = START_MS * NS, stage.now_ms * NS
    return Evidence(
        account=stage.ledger.account(),
        entries=stage.entries,
        journals={run: [entry.record for entry in stage.entries if entry.record.run == run] for run in stage.ends},
        parts=stage.parts,
        ends=stage.ends,
        listed=dict.fromkeys(stage.ends, "completed"),
        open={},
        now_ms=stage.now_ms,
        plans={stage.plan.digest: stage.plan},
        snapshots=stage.snapshots,
        manifests=[ManifestSeen(0, begin_ns, 2), ManifestSeen(0, end_ns, stage.seq)],
        leases=[LeaseSeen(0, 1, begin_ns, Lease("a", START_MS, 1)), LeaseSeen(0, 2, end_ns, Lease("b", stage.now_ms, 2))],
        beats=[Beat("a", begin_ns + 1, (0,)), Beat("b", end_ns + 1, (0,))],
        sequences=[Seen("WAL_0", entry.seq, entry.at_ns) for entry in stage.entries],
        values=[Value("ref-1", 7, 7), Value("ref-2", 8, None, "PAYLOAD_LOST")],
        usage=[Usage("resident bytes", 1 << 30, 1 << 30), Usage("open files", 20, 21)],
        canaries=("xyzzy-0451",),
        texts={"the log of a worker": "an attempt failed: the password *** was refused"},
    )
