"""Each checker on evidence that is made by hand: nothing to say of what is sound, a complaint when one thing in it is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import msgspec
import pytest

from jetfleet.broker.engine import fold, reading
from jetfleet.schemas import subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.messages import DeadLetter, Lease, Part, Summary
from jetfleet.schemas.payload import encode, pack_map
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.records import CancelRequested, CollectionStarted, Completion, EventCollected, RunStarted, TimerFired

from ..engine.driving import Driver
from . import flows
from .broken import DEFECTS
from .defects import patched
from .evidence import Beat, Entry, Evidence, LeaseSeen, ManifestSeen, Seen, SnapshotSeen, Unreadable, Usage, Value
from .invariants import CHECKS, NotKnown, check, judge
from .ledger import Account, Acked, Cancelled, Effect, Fault, Healed, Ledger, Refused, Told, Unanswered
from .outcome import Outcome
from .sound import START_MS, Stage, sound

SOUND = sound()
FIRST, *_ = RUNS = list(SOUND.ends)
LATER_NS = SOUND.entries[-1].at_ns + 10**12


def told(**changed: Any) -> Evidence:
    """The sound evidence with another ledger."""
    return replace(SOUND, account=replace(SOUND.account, **changed))


def without(place: int) -> Evidence:
    """One entry of the WAL was never seen."""
    return replace(SOUND, entries=[*SOUND.entries[:place], *SOUND.entries[place + 1 :]])


def with_entry(place: int, record: Any) -> Evidence:
    """One entry says something else."""
    entries = list(SOUND.entries)
    entries[place] = replace(entries[place], record=record, raw=encode_record(record))
    return replace(SOUND, entries=entries)


def place_of(kind: type[Any]) -> int:
    return next(place for place, entry in enumerate(SOUND.entries) if isinstance(entry.record, kind))


def with_part(**changed: Any) -> Evidence:
    parts = dict(SOUND.parts)
    parts[FIRST] = [msgspec.structs.replace(parts[FIRST][0], **changed)]
    return replace(SOUND, parts=parts)


def cut_after(records: int) -> Evidence:
    """The first run's log ends early; nothing of its end is known."""
    others = {run: end for run, end in SOUND.ends.items() if run != FIRST}
    mine = {entry.seq for entry in list(SOUND.of_run[FIRST])[records:]}
    last = min(mine)
    parts = {run: each for run, each in SOUND.parts.items() if run in others}
    entries = [entry for entry in SOUND.entries if entry.record.run != FIRST or entry.seq < last]
    entries = [replace(entry, seq=place) for place, entry in enumerate(entries, 1)]
    account = replace(SOUND.account, terminal=[fact for fact in SOUND.account.terminal if fact.run != FIRST], expected=[])
    return Evidence(account, entries, parts=parts, ends=others, plans=SOUND.plans, now_ms=SOUND.now_ms, snapshots=[])


def early_timer() -> Evidence:
    place = place_of(TimerFired)
    return with_entry(place, msgspec.structs.replace(SOUND.entries[place].record, at=START_MS))


def another_output() -> Evidence:
    """Of the node whose output is the run's."""
    place = next(place for place in reversed(range(len(SOUND.entries))) if isinstance(SOUND.entries[place].record, Completion))
    return with_entry(place, msgspec.structs.replace(SOUND.entries[place].record, output=encode("other")))


def ended_twice() -> Evidence:
    part = SOUND.parts[FIRST][0]
    assert part.summary is not None
    second = Part(FIRST, len(part.records), [], msgspec.structs.replace(part.summary, status="failed"), part.chain)
    return replace(SOUND, parts={**SOUND.parts, FIRST: [part, second]})


def executed(**changed: Any) -> Evidence:
    """One execution more."""
    effect = SOUND.account.effects[0]._replace(**changed)
    return told(effects=[*SOUND.account.effects, effect])


def cancelled(status: str, began_ns: int = 0) -> Evidence:
    """A run whose cancellation is in the log behind its start, and which ended so; perhaps something began later."""
    stage = Stage()
    run, request = RunStarted("r", START_MS, "f", stage.plan.digest, "go", encode(1)), CancelRequested("r", START_MS + 1)
    entries = [Entry(0, seq, (START_MS + seq) * 10**6, record, encode_record(record)) for seq, record in enumerate((run, request), 1)]
    state = fold(stage.plan, [run, request])
    summary = Summary("f", "", stage.plan.digest, status, "go", START_MS, START_MS + 1, state.output, state.error, 2)
    account = Account(cancelled=[Cancelled("r", entries[1].at_ns)])
    if began_ns:
        account.effects.append(Effect("r", "0", 1, "w", "key", entries[1].at_ns + began_ns))
    return Evidence(account, entries, ends={"r": summary}, plans={stage.plan.digest: stage.plan})


WRONG: list[tuple[str, str, Callable[[], Evidence]]] = [
    ("I1", "a run that nobody has seen", lambda: told(acked=[*SOUND.account.acked, Acked("k7", "gone", 1)])),
    ("I1", "one key, two runs", lambda: told(acked=[*SOUND.account.acked, Acked("k0", RUNS[1], 1)])),
    ("I1", "a batch that lacks an event", lambda: gathered(encode([0, 1]))),
    ("I2", "a batch that never begins", lambda: gathered(begins=False)),
    ("I2", "a task that nobody executes", lambda: cut_after(1)),
    ("I2", "a timer that is overdue", lambda: replace(cut_after(2), now_ms=SOUND.now_ms + 10**6)),
    ("I10", "a timer that never fired", lambda: replace(cut_after(2), now_ms=SOUND.now_ms + 10**6)),
    ("I2", "an owner that does not know a run", lambda: replace(cut_after(2), open={}, now_ms=START_MS)),
    ("I2", "an end that was not archived", lambda: replace(SOUND, ends={run: SOUND.ends[run] for run in RUNS[1:]})),
    ("I3", "an execution behind its record", lambda: executed(at_ns=LATER_NS)),
    ("I3", "an execution that nobody asked for", lambda: executed(attempt=9)),
    ("I4", "a record that nobody worked for", lambda: told(effects=SOUND.account.effects[1:])),
    ("I4", "repetitions without a fault", lambda: replace(executed(), account=replace(executed().account, faults=[]))),
    ("I4", "another key for another attempt", lambda: executed(key="other")),
    ("I4", "one key for two activations", lambda: executed(activation="2", key=SOUND.account.effects[0].key)),
    ("I5", "two ends", ended_twice),
    ("I5", "another output than the log's", another_output),
    ("I5", "an end that nobody had", lambda: told(terminal=[Told(FIRST, "failed", 1)])),
    ("I5", "another status in the lists", lambda: replace(SOUND, listed={**(SOUND.listed or {}), FIRST: "failed"})),
    ("I5", "a run that is not listed", lambda: replace(SOUND, listed={})),
    ("I5", "ended in the history, open by the log", lambda: without(len(SOUND.of_run[FIRST]) - 1)),
    ("I6", "a chain that does not come out", lambda: with_part(chain=b"x" * 32)),
    ("I6", "a gap in a journal", lambda: with_part(first=1)),
    ("I6", "another record than in the log", lambda: with_part(records=SOUND.parts[RUNS[1]][0].records)),
    ("I6", "a snapshot of something else", lambda: replace(SOUND, snapshots=[replace_state(SOUND.snapshots or ())])),
    ("I6", "a snapshot that has seen more than there is", lambda: replace(SOUND, snapshots=[SnapshotSeen(FIRST, 99, b"")])),
    ("I7", "wrong bytes", lambda: replace(SOUND, values=[Value("ref", 1, 2)])),
    ("I7", "neither bytes nor an error", lambda: replace(SOUND, values=[Value("ref", 1, None)])),
    ("I8", "a stream that went back", lambda: replace(SOUND, sequences=[Seen("WAL_0", 9, 1), Seen("WAL_0", 8, 2)])),
    ("I8", "ends behind a hole", lambda: without(place_of(TimerFired))),
    ("I8", "entries in the wrong order", lambda: replace(SOUND, entries=SOUND.entries[::-1])),
    ("I8", "no record, and no letter", lambda: replace(SOUND, unreadable=[Unreadable(0, 99, 1, b"\xc1")])),
    ("I9", "a generation that comes again", lambda: leased(Lease("a", 1, 1), Lease("b", 2, 1))),
    ("I9", "a generation that goes back", lambda: leased(Lease("a", 1, 2), Lease("", 2, 1))),
    ("I9", "who acts for what is another's", lambda: replace(SOUND, beats=[Beat("a", LATER_NS, (0,)), Beat("a", LATER_NS + 10**10, (0,))])),
    ("I9", "a snapshot that went back", lambda: replace(SOUND, manifests=[ManifestSeen(0, 1, 5), ManifestSeen(0, 2, 4)])),
    ("I9", "a snapshot of what is not in the WAL", lambda: replace(SOUND, manifests=[ManifestSeen(0, 1, 10**6)])),
    ("I10", "a timer that fired early", early_timer),
    ("I11", "a cancelled run that completed", lambda: cancelled("completed")),
    ("I11", "what began long after", lambda: cancelled("cancelled", 10**10)),
    ("I11", "a cancellation that is in no log", lambda: told(cancelled=[Cancelled(FIRST, 1)])),
    ("I12", "a victim", lambda: told(expected=[Told(FIRST, "cancelled", 1)])),
    ("I12", "a victim that has not ended", lambda: told(expected=[Told("another", "completed", 1)])),
    ("I13", "memory that does not come back", lambda: replace(SOUND, usage=[Usage("resident bytes", 1 << 30, 2 << 30)])),
    ("I14", "a run of what was refused", lambda: told(refused=[Refused("k0", "FULL", 1)], acked=SOUND.account.acked[1:])),
    ("I14", "a publish that nobody asked after", lambda: told(unknown=[Unanswered("k8", 1)])),
    ("I15", "a secret in a log", lambda: replace(SOUND, texts={"the log": "password xyzzy-0451"})),
    ("I15", "a secret in a record", lambda: with_entry(1, RunStarted("s", 1, "f", "d", None, encode("xyzzy-0451")))),
    ("I15", "a secret in a letter", lambda: replace(SOUND, letters=[DeadLetter("event", "C", "xyzzy-0451", "events.f", b"", 1)])),
]  # fmt: skip


def gathered(payload: bytes = b"", *, begins: bool = True) -> Evidence:
    """Three events of a batch, the run that they become, and that it is on disk."""
    plan = compile_flow(Flow.model_validate({**flows.chain("batched"), "settings": {"batch": {"max": 3, "within": "1h"}}}))
    events = [RunStarted(f"batched-{n}", START_MS, "batched", plan.digest, "go", encode(n)) for n in range(3)]
    collector = subjects.collector("batched", "")
    records: list[Any] = [EventCollected(collector, START_MS, event) for event in (*events, events[0])]
    if begins:
        started = msgspec.structs.replace(events[0], payload=payload or encode([0, 1, 2]))
        records += [started, CollectionStarted(collector, START_MS, started.run)]
    entries = [Entry(0, seq, START_MS * 10**6, record, encode_record(record)) for seq, record in enumerate(records, 1)]
    account = Account(acked=[Acked(f"k{n}", event.run, 1) for n, event in enumerate(events)])
    now_ms = START_MS + (0 if begins else 10**6)
    return Evidence(account, entries, plans={plan.digest: plan}, working=frozenset({"batched-0"}), now_ms=now_ms)


def test_events_that_are_gathered_are_in_the_run_of_their_collection() -> None:
    assert check(gathered()) == []


def leased(*leases: Lease) -> Evidence:
    return replace(SOUND, leases=[LeaseSeen(0, seq, seq, lease) for seq, lease in enumerate(leases, 1)])


def replace_state(snapshots: Any) -> SnapshotSeen:
    """The second state of a run in the place of its first."""
    return replace(snapshots[0], state=snapshots[1].state)


def test_nothing_is_said_of_what_is_sound() -> None:
    verdict = judge(SOUND)
    assert [str(complaint) for complaint in verdict.complaints] == []
    assert set(verdict.not_known) == {"I11"}, "nobody cancelled anything; everything else was looked at"
    assert check(cancelled("cancelled", 10**6)) == []


@pytest.mark.parametrize(("invariant", "what", "make"), WRONG, ids=[f"{invariant} {what}" for invariant, what, _ in WRONG])
def test_a_checker_complains_of(invariant: str, what: str, make: Callable[[], Evidence]) -> None:
    assert invariant in {complaint.invariant for complaint in check(make())}


def test_every_invariant_has_a_case_that_it_catches() -> None:
    assert {invariant for invariant, _, _ in WRONG} == set(CHECKS)
    assert len(DEFECTS) >= 10


def test_what_cannot_be_known_is_said_by_name_and_is_no_pass() -> None:
    verdict = judge(Evidence())
    assert verdict.complaints == []
    assert {"I3", "I4", "I6", "I7", "I8", "I9", "I11", "I12", "I13", "I14", "I15"} <= set(verdict.not_known)
    odd = judge(replace(SOUND, parts={FIRST: [object()]}))  # type: ignore[list-item]
    assert any("the check itself failed" in complaint.words for complaint in odd.complaints), "no check passes what it could not look at"
    assert isinstance(CHECKS["I2"](replace(SOUND, plans={})), NotKnown), "without plans nobody can tell whether a run is stuck"


def test_a_late_execution_is_excepted_only_in_the_documented_moment_and_beside_another_worker() -> None:
    first = SOUND.account.effects[0]
    recorded = next(entry for entry in SOUND.entries if isinstance(entry.record, Completion))
    moment, long_after = recorded.at_ns + 10**6, recorded.at_ns + 5 * 10**9

    def complains(*facts: Effect, **changed: Any) -> bool:
        evidence = told(effects=[*SOUND.account.effects, *facts], **changed)
        return "I3" in {complaint.invariant for complaint in check(evidence)}

    assert complains(first._replace(at_ns=moment)), "the same worker knows what it has recorded"
    assert not complains(first._replace(at_ns=moment, worker="worker-2"))
    assert complains(first._replace(at_ns=long_after, worker="worker-2"))
    stopped = {"faults": [Fault("stop", "", recorded.at_ns)], "healed": [Healed("stop", long_after - 1)]}
    assert not complains(first._replace(at_ns=long_after, worker="worker-2"), **stopped), "it was stopped in that moment"


def test_a_fold_that_depends_on_an_order_that_is_none_is_seen() -> None:
    flow = {
        "nodes": {name: {"type": "x.work"} for name in "abcdef"} | {"all": {"type": "std::merge"}, "last": {"type": "x.work"}},
        "edges": [*({"from": name, "to": "all"} for name in "abcdef"), {"from": "all", "to": "last"}],
    }
    driver = Driver(flow, {"n": 1})
    for name in "abcdef":
        driver.complete(name, name)
    entries = [Entry(0, seq, seq, record, encode_record(record)) for seq, record in enumerate(driver.journal, 1)]
    evidence = Evidence(entries=entries, plans={driver.plan.digest: driver.plan}, snapshots=[], working=frozenset({"r1"}))
    assert check(evidence) == []
    chance = Random(1)

    def shuffled(pack: Any) -> Any:
        return lambda items: pack(sorted(items, key=lambda item: chance.random()))

    with patched(reading.payloads, "pack_map", shuffled):
        again = replace(evidence, now_ms=1)  # as if it were told for the first time
        assert "I6" in {complaint.invariant for complaint in check(again)}
    assert reading.payloads.pack_map is pack_map


def test_an_outcome_counts_what_the_checkers_count() -> None:
    outcome = Outcome.of("sound", SOUND, n=1, seed=7)
    assert outcome.ok and (outcome.acked, outcome.runs, outcome.ended) == (3, 3, 3)
    assert (outcome.lost, outcome.stuck, outcome.duplicates, outcome.reexecuted) == (0, 0, 0, 0)
    wrong = Outcome.of("wrong", told(acked=[Acked("k7", "gone", 1)]))
    assert not wrong.ok and wrong.lost == 1 and "I1" in wrong.verdict and wrong.row().count("|") == outcome.row().count("|")


def test_a_scenario_that_injected_nothing_proves_nothing() -> None:
    nothing = told(faults=[])
    assert not Outcome.of("idle", nothing).ok and "no fault" in Outcome.of("idle", nothing).verdict
    assert Outcome.of("control", nothing, control=True).ok


def test_a_ledger_gives_back_what_was_written_also_by_others_and_over_torn_lines(tmp_path: Any) -> None:
    path = tmp_path / "ledger"
    mine, other = Ledger(path), Ledger(path, fsync=False)
    mine.acked("key with spaces\n", "run ü")
    other.effect("r", "2.0", 3, "w", "")
    mine.resolved("k", "stored")
    path.open("a").write("acked torn")
    account = mine.account()
    assert [(fact.key, fact.run) for fact in account.acked] == [("key with spaces\n", "run ü")]
    assert account.effects[0][:5] == ("r", "2.0", 3, "w", "") and account.torn == 1 and account.resolved[0].how == "stored"
    mine.close()
    other.close()
