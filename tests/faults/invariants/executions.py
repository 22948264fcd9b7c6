"""I3 and I4: what is recorded is not executed again; what is not recorded is executed, as often as something died, under one key.

One exception to I3 is documented and counted apart (`excepted`): of an attempt that is with two workers at once, one may begin in the moment in
which the other one's record is on its way. How long that moment is, faults left out, is bounded here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from jetfleet.schemas.records import Completion

from ..evidence import Entry, Evidence
from ..ledger import Effect
from ..replay import Story, replay
from .finding import Finding, NotKnown, unless_missing, untold

MOMENT_S = 3.0
"""So long may an answer be on its way, or a slot be waited for: less than `ack_wait`, and more than a busy machine takes to let a process go on."""
Key = tuple[str, str, int]
"""A run, an activation as text, an attempt."""


@dataclass(frozen=True)
class Late:
    """An execution that began although its end was recorded. `excepted`: within the documented moment. `moment_ms`: how much later, without
    the time that a fault lasted."""

    effect: Effect
    recorded: Entry
    excepted: bool
    moment_ms: float

    def __str__(self) -> str:
        late_ms = (self.effect.at_ns - self.recorded.at_ns) / 1e6
        effect = self.effect
        return (
            f"run {effect.run}: attempt {effect.attempt} of {effect.activation} began on {effect.worker} "
            f"{late_ms:,.1f} ms after its end was recorded (partition {self.recorded.partition}, seq {self.recorded.seq})"
        )


def recorded_is_not_executed(evidence: Evidence) -> Finding:
    if not evidence.account.effects:
        return NotKnown("executions: no node wrote into the ledger")
    complaints = [str(late) for late in late_executions(evidence) if not late.excepted]
    return unless_missing(complaints + list(_unasked(evidence)), untold(replay(evidence).untold))


def late_executions(evidence: Evidence) -> list[Late]:
    """Those that began behind their recorded end."""
    recorded = _recorded(evidence)
    workers: dict[Key, set[str]] = {}
    for effect in evidence.account.effects:
        workers.setdefault(_key(effect), set()).add(effect.worker)
    found = []
    for effect in evidence.account.effects:
        entry = recorded.get(_key(effect))
        if entry is not None and effect.at_ns > entry.at_ns:
            moment_ns = effect.at_ns - entry.at_ns - _under_fault_ns(evidence, entry.at_ns, effect.at_ns)
            found.append(Late(effect, entry, len(workers[_key(effect)]) > 1 and moment_ns <= MOMENT_S * 1e9, moment_ns / 1e6))
    return found


def unrecorded_is_executed(evidence: Evidence) -> Finding:
    if not evidence.account.effects:
        return NotKnown("executions: no node wrote into the ledger")
    complaints = [*_never_executed(evidence), *_too_often(evidence), *_under_wrong_keys(evidence)]
    return unless_missing(complaints, untold(replay(evidence).untold))


def duplicates(evidence: Evidence) -> int:
    """Executions of an attempt beyond its first."""
    return sum(count - 1 for count in Counter(_key(effect) for effect in evidence.account.effects).values())


def _unasked(evidence: Evidence) -> Iterator[str]:
    """Executions that the log never asked for."""
    stories = replay(evidence).stories
    for effect in evidence.account.effects:
        story = stories.get(effect.run)
        if story is not None and (_address(effect.activation), effect.attempt) not in story.dispatched:
            yield f"run {effect.run}: attempt {effect.attempt} of {effect.activation} was executed, and the log never gave it out"


def _never_executed(evidence: Evidence) -> Iterator[str]:
    """Completions of nodes that write into the ledger, without a line there."""
    stories = replay(evidence).stories
    executed = {_key(effect) for effect in evidence.account.effects}
    writing = {_type(stories[effect.run], effect.activation) for effect in evidence.account.effects if effect.run in stories}
    for (run, activation, attempt), entry in _recorded(evidence).items():
        story, record = stories.get(run), entry.record
        assert isinstance(record, Completion)
        if story is None or record.error is not None or _type(story, activation) not in writing:
            continue
        if (run, activation, attempt) not in executed:
            yield f"run {run}: attempt {attempt} of {activation} was recorded at seq {entry.seq}, and nobody ever began it"


def _too_often(evidence: Evidence) -> Iterator[str]:
    """At most what was under way can have been repeated by each fault."""
    faults, twice = len(evidence.account.faults), duplicates(evidence)
    most = faults * _most_under_way(evidence)
    if twice > most:
        yield f"{twice:,} executions were repetitions, and {faults} faults with what was under way explain {most:,}"


def _most_under_way(evidence: Evidence) -> int:
    """The most attempts that were given out and not recorded at any moment."""
    changes = [(entry.at_ns, 1) for story in replay(evidence).stories.values() for entry in story.dispatched.values()]
    changes += [(entry.at_ns, -1) for entry in _recorded(evidence).values()]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return max(most, 1)


def _under_wrong_keys(evidence: Evidence) -> Iterator[str]:
    """All attempts of an activation have one idempotency key, and no other activation has it."""
    keys: dict[tuple[str, str], str] = {}
    users: dict[str, tuple[str, str]] = {}
    for effect in evidence.account.effects:
        who = effect.run, effect.activation
        if not effect.key or keys.setdefault(who, effect.key) != effect.key:
            yield f"run {effect.run}: {effect.activation} was executed under the keys {keys.get(who, '')!r} and {effect.key!r}"
        elif users.setdefault(effect.key, who) != who:
            yield f"run {effect.run}: {effect.activation} was executed under the key of {' '.join(users[effect.key])}"


def _recorded(evidence: Evidence) -> dict[Key, Entry]:
    """The first record of each attempt's end."""
    found: dict[Key, Entry] = {}
    for entry in evidence.entries:
        record = entry.record
        if isinstance(record, Completion):
            found.setdefault((record.run, ".".join(map(str, record.activation)), record.attempt), entry)
    return found


def _under_fault_ns(evidence: Evidence, begin_ns: int, end_ns: int) -> int:
    """How much of that time a fault lasted: who is stopped between an answer and a beginning begins late."""
    over = {
        kind: [fact.at_ns for fact in evidence.account.healed if fact.kind == kind] for kind in {f.kind for f in evidence.account.faults}
    }
    spans = []
    for fault in evidence.account.faults:
        healed = min((at_ns for at_ns in over[fault.kind] if at_ns >= fault.at_ns), default=fault.at_ns)
        spans.append((max(begin_ns, fault.at_ns), min(end_ns, healed)))
    total, last = 0, 0
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        total += max(0, end - max(start, last))
        last = max(last, end)
    return total


def _key(effect: Effect) -> Key:
    return effect.run, effect.activation, effect.attempt


def _address(activation: str) -> tuple[int | str, ...]:
    return tuple(int(part) if part.isdecimal() else part for part in activation.split("."))


def _type(story: Story, activation: str) -> str:
    return story.plan.nodes[int(activation.partition(".")[0])].type
