"""I1: an acknowledged event is a run, or a dead letter that says why not, or still waits to be taken."""

from __future__ import annotations

from jetfleet.schemas.codec import decode_record
from jetfleet.schemas.errors import UnreadableRecord
from jetfleet.schemas.messages import DeadLetter
from jetfleet.schemas.records import EventCollected, RunStarted

from ..events import runs_of_event
from ..evidence import Evidence
from .finding import Finding


def no_event_is_lost(evidence: Evidence) -> Finding:
    accounted = _begun(evidence) | _in_letters(evidence) | evidence.pending
    keys: dict[str, str] = {}
    complaints = []
    for fact in evidence.account.acked:
        if keys.setdefault(fact.key, fact.run) != fact.run:
            complaints.append(f"the event with key {fact.key} was acknowledged as run {keys[fact.key]} and as run {fact.run}")
    for fact in {fact.run: fact for fact in evidence.account.acked}.values():
        if fact.run not in accounted:
            complaints.append(f"the event with key {fact.key} was acknowledged, and its run {fact.run} is nowhere: no start, no letter")
    return complaints


def lost(evidence: Evidence) -> list[str]:
    """The runs of events that were acknowledged and are nowhere."""
    accounted = _begun(evidence) | _in_letters(evidence) | evidence.pending
    return [run for run in evidence.account.runs if run not in accounted]


def _begun(evidence: Evidence) -> set[str]:
    """Every run that a WAL or the history has the start of, and every event that was gathered for one."""
    found = {run for run, journal in evidence.journals.items() if journal} | set(evidence.ends)
    for entry in evidence.entries:
        if isinstance(entry.record, RunStarted):
            found.add(entry.record.run)
        elif isinstance(entry.record, EventCollected):
            found.add(entry.record.start.run)
    return found


def _in_letters(evidence: Evidence) -> set[str]:
    return {run for letter in evidence.letters for run in _runs_of(letter)}


def _runs_of(letter: DeadLetter) -> list[str]:
    if letter.kind == "event":
        return runs_of_event(letter.subject, letter.headers, letter.data)
    try:
        record = decode_record(letter.data)
    except UnreadableRecord:
        return []
    return [record.run] if isinstance(record, RunStarted) else []
