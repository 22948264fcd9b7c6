"""I6: the same records give the same state: folded at once, record by record, or from a snapshot at any point; and the history has these records.

The hash chain of the history is computed here by itself, from docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256
from random import Random

from jetfleet.broker.engine import decide, digest, fold, restore, snapshot
from jetfleet.schemas.errors import JetfleetError
from jetfleet.schemas.messages import Part
from jetfleet.schemas.records import RunReopened

from ..evidence import Evidence, SnapshotSeen
from ..replay import Story, replay
from .finding import Finding, unless_missing, untold

RUNS_FOLDED = 200
"""Of more runs, so many are chosen: folding at every cut costs the square of a journal."""
CUTS = 3


def the_fold_is_one(evidence: Evidence) -> Finding:
    told = replay(evidence)
    complaints = [words for run, parts in evidence.parts.items() for words in _wrong_parts(run, parts, told.stories.get(run))]
    complaints += [words for story in _some(list(told.stories.values())) for words in _folds_otherwise(story)]
    complaints += [words for seen in evidence.snapshots or () for words in _unlike_its_records(seen, told.stories.get(seen.run))]
    missing = untold(told.untold) + (["snapshots: nobody followed them"] if evidence.snapshots is None else [])
    return unless_missing(complaints, missing)


def _some(stories: list[Story]) -> list[Story]:
    sound = [story for story in stories if not story.defect]
    return sound if len(sound) <= RUNS_FOLDED else Random(len(sound)).sample(sound, RUNS_FOLDED)


def _folds_otherwise(story: Story) -> Iterator[str]:
    journal, now = story.journal, digest(story.state)
    if digest(fold(story.plan, journal)) != now:
        yield f"run {story.run}: its {len(journal)} records folded once more give another state"
        return
    for cut in sorted({Random(story.run).randint(1, len(journal)) for _ in range(CUTS)}):
        if any(isinstance(record, RunReopened) for record in journal[cut:]):
            continue  # it goes on from the journal, not from a state
        run = restore(story.plan, snapshot(fold(story.plan, journal[:cut])))
        for record in journal[cut:]:
            decide(run, record)
        if digest(run) != now:
            yield f"run {story.run}: a snapshot after {cut} of {len(journal)} records and the rest give another state"


def _unlike_its_records(seen: SnapshotSeen, story: Story | None) -> Iterator[str]:
    if story is None or story.defect:
        return
    if seen.records > len(story.journal):
        yield f"run {seen.run}: a snapshot has seen {seen.records} records, and its log has {len(story.journal)}"
        return
    try:
        state = restore(story.plan, seen.state)
    except JetfleetError as error:
        yield f"run {seen.run}: its snapshot cannot be read: {error}"
        return
    if digest(state) != digest(fold(story.plan, story.journal[: seen.records])):
        yield f"run {seen.run}: its snapshot after {seen.records} records is another state than these records give"


def _wrong_parts(run: str, parts: Sequence[Part], story: Story | None) -> Iterator[str]:
    """Two parts that overlap say the same; there is no gap; the chain comes out; the records are those of the log."""
    records: dict[int, bytes] = {}
    for part in parts:
        for place, raw in enumerate(part.records, part.first):
            if records.setdefault(place, bytes(raw)) != bytes(raw):
                yield f"run {run}: record {place} was archived in two forms"
                return
    missing = next((place for place in range(len(records)) if place not in records), None)
    if missing is not None:
        yield f"run {run}: record {missing} is missing in the history"
        return
    journal = [records[place] for place in range(len(records))]
    values = _chain(run, journal)
    for part in parts:
        if part.chain and part.chain != values[part.first + len(part.records)]:
            yield f"run {run}: the chain of the part with records {part.first} to {part.first + len(part.records) - 1} does not come out"
    if story is not None:
        yield from _unlike_the_log(run, journal, story)


def _unlike_the_log(run: str, journal: list[bytes], story: Story) -> Iterator[str]:
    for place, (archived, told) in enumerate(zip(journal, story.raw, strict=False)):
        if archived != told:
            yield f"run {run}: record {place} in the history is another one than in the log (seq {story.entries[place].seq})"
            return
    if len(journal) > len(story.raw):
        yield f"run {run}: the history has {len(journal)} records, and by the log {len(story.raw)} count"


def _chain(run: str, journal: list[bytes]) -> list[bytes]:
    values = [sha256(run.encode()).digest()]
    for record in journal:
        values.append(sha256(values[-1] + record).digest())
    return values
