"""I10: a timer fires once, never early, and it does fire. Early and late are told by the wall clock that the records carry."""

from __future__ import annotations

from collections.abc import Iterator

from jetfleet.broker.engine import timers
from jetfleet.schemas.records import TimerFired

from ..evidence import Evidence
from ..replay import Story, replay
from .finding import Finding, unless_missing, untold
from .open_runs import GRACE_MS, now_ms


def timers_fire_once_and_on_time(evidence: Evidence) -> Finding:
    told = replay(evidence)
    complaints = [words for story in told.stories.values() for words in (*_early(story), *_forgotten(story, evidence))]
    return unless_missing(complaints, untold(told.untold))


def _early(story: Story) -> Iterator[str]:
    """`story.due` has the latest time of each timer: a repetition that came before it, and meant nothing, is no fault of the timer."""
    for entry, record in zip(story.entries, story.journal, strict=False):
        due = story.due.get(record.timer) if isinstance(record, TimerFired) else None
        if due is not None and isinstance(record, TimerFired) and record.at < due:
            yield (
                f"run {story.run}: the {record.timer.purpose} timer of {story.named(record.timer.activation) if record.timer.activation else 'the run'} "
                f"fired {due - record.at:,} ms early (seq {entry.seq})"
            )


def _forgotten(story: Story, evidence: Evidence) -> Iterator[str]:
    if not story.is_open or story.state.paused:
        return
    for timer in timers(story.state):
        overdue_ms = now_ms(evidence) - timer.due
        if overdue_ms > GRACE_MS:
            yield f"run {story.run}: its {timer.timer.purpose} timer was due {overdue_ms:,} ms ago and has not fired"
