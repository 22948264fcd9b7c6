"""I5: a run ends once, each retry adds one end; the log, the history, the read model and whoever was told agree on how."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from jetfleet.schemas.messages import Summary

from ..evidence import Evidence
from ..replay import End, Story, replay
from .finding import Finding, unless_missing, untold

MADE_BY_OWNERS = ("internal", "payload_too_large")
"""Errors that an owner ends a run with where the engine would not."""
OPEN = ("running", "paused")
_encode = msgspec.msgpack.Encoder().encode


def a_run_ends_once(evidence: Evidence) -> Finding:
    complaints = [
        *_archived_twice(evidence),
        *(words for story in replay(evidence).stories.values() for words in _unlike_the_history(story, evidence)),
        *_told_otherwise(evidence),
        *_listed_otherwise(evidence),
    ]
    return unless_missing(complaints, untold(replay(evidence).untold))


def _archived_twice(evidence: Evidence) -> Iterator[str]:
    """A take-over may archive an end once more; then it says the same."""
    for run, parts in evidence.parts.items():
        ends: dict[int, Summary] = {}
        for part in parts:
            if part.summary is None:
                continue
            first = ends.setdefault(part.summary.records, part.summary)
            if _encode(first) != _encode(part.summary):
                yield f"run {run} ended twice behind record {first.records}: as {first.status} and as {part.summary.status}, or with another output"
        story = replay(evidence).stories.get(run)
        if story is not None and len(ends) > max(1, len(story.ends)):
            yield f"run {run} has {len(ends)} ends in the history, behind the records {sorted(ends)}; its log has {len(story.ends)}"


def _unlike_the_history(story: Story, evidence: Evidence) -> Iterator[str]:
    summary = evidence.ends.get(story.run)
    if summary is None:
        return
    if story.is_open or not story.ends:
        after = story.ends[-1].records if story.ends else 0
        if summary.records > after:
            yield f"run {story.run} is open by its log (seq {story.entries[-1].seq}), and ended as {summary.status} in the history"
        return
    if summary.error is not None and summary.error.type in MADE_BY_OWNERS:
        return
    yield from _unlike(story, story.ends[-1], summary)


def _unlike(story: Story, end: End, summary: Summary) -> Iterator[str]:
    finish = end.finish
    where = f"run {story.run}, which ended at seq {end.seq}"
    if finish.status != summary.status:
        yield f"{where}: {finish.status} by the log, {summary.status} by the history"
    elif finish.output != summary.output:
        yield f"{where}: the history has another output than the log leads to"
    elif _encode(finish.error) != _encode(summary.error):
        yield f"{where}: the history has another error than the log leads to"
    if end.records != summary.records:
        yield f"{where} behind record {end.records}, has {summary.records} records in the history: something was taken in after the end"


def _told_otherwise(evidence: Evidence) -> Iterator[str]:
    """Whoever was told of an end was told one that there is."""
    stories = replay(evidence).stories
    for told in evidence.account.terminal:
        story, summary = stories.get(told.run), evidence.ends.get(told.run)
        statuses = {end.finish.status for end in story.ends} if story is not None else set()
        statuses |= {summary.status} if summary is not None else set()
        if told.status not in statuses:
            yield f"run {told.run}: somebody was told that it ended as {told.status}; it is {_as_words(statuses)}"


def _listed_otherwise(evidence: Evidence) -> Iterator[str]:
    for run, status in (evidence.listed or {}).items():
        story, summary = replay(evidence).stories.get(run), evidence.ends.get(run)
        if story is not None and story.is_open:
            if status not in OPEN:
                yield f"run {run} is open by its log, and listed as {status}"
        elif summary is not None and status != summary.status:
            yield f"run {run} ended as {summary.status}, and is listed as {status}"
    if evidence.listed is not None:
        for run in evidence.ends:
            if run not in evidence.listed:
                yield f"run {run} has ended, and is not listed"


def _as_words(statuses: set[str]) -> str:
    return " or ".join(sorted(statuses)) or "open"
