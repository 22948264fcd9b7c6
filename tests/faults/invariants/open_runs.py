"""I2: no run is stuck. When all is over, whatever is open waits for something that may still come: a time, a person, an event, another run."""

from __future__ import annotations

from jetfleet.broker.engine import Blocked, blocked_on

from ..evidence import Evidence
from ..replay import Replay, Story, replay
from .finding import Finding, unless_missing, untold

GRACE_MS = 5_000
"""So late may a timer be: a partition that changes hands fires nothing meanwhile."""
PATIENT = ("signal", "event", "approval")
TIMED = ("timer", "retry", "scope_retry")


def no_run_is_stuck(evidence: Evidence) -> Finding:
    told = replay(evidence)
    complaints = [words for story in told.stories.values() if story.is_open for words in why_stuck(story, told, evidence)]
    complaints += _ends_that_are_not_archived(evidence, told)
    return unless_missing(complaints, untold(told.untold))


def stuck(evidence: Evidence) -> list[str]:
    """The runs that are open for no good reason."""
    told = replay(evidence)
    return [story.run for story in told.stories.values() if story.is_open and why_stuck(story, told, evidence)]


def why_stuck(story: Story, told: Replay, evidence: Evidence) -> list[str]:
    """What is wrong with an open run's reasons; nothing if all of them are good."""
    reasons = blocked_on(story.state)
    wrong = [] if reasons else [f"run {story.run} is open and waits for nothing"]
    for reason in reasons:
        why = _why_bad(reason, story, told, evidence)
        if why:
            wrong.append(f"run {story.run} is stuck at {reason}: {why} (last record: seq {story.entries[-1].seq})")
    if evidence.open is not None and story.run not in evidence.open:
        wrong.append(f"run {story.run} is open by the log, and its owner does not know it")
    return wrong


def _why_bad(reason: Blocked, story: Story, told: Replay, evidence: Evidence) -> str:
    """Why nothing will come of waiting for that; "" if something may."""
    if reason.reason in ("task", "payload"):
        return "" if story.run in evidence.working or story.state.paused else "nobody is at work any more"
    if reason.reason in TIMED or reason.due is not None:
        overdue_ms = now_ms(evidence) - (reason.due or 0)
        return f"it was due {overdue_ms:,} ms ago" if overdue_ms > GRACE_MS and not story.state.paused else ""
    if reason.reason == "child":
        child = told.stories.get(reason.detail)
        return "" if reason.detail in told.untold or (child is not None and child.is_open) else f"sub-flow {reason.detail} is not open"
    if reason.reason == "limit":
        others = any(other.is_open and other is not story for other in told.stories.values())
        return "" if others else "no other run is open that could hold a slot"
    return "" if reason.reason in (*PATIENT, "paused") else f"{reason.reason} is no reason to wait"


def _ends_that_are_not_archived(evidence: Evidence, told: Replay) -> list[str]:
    """A run that ended by the log, and whose end nobody can ask for, is stuck for whoever waits for it."""
    return [
        f"run {story.run} ended as {story.ends[-1].finish.status} at seq {story.ends[-1].seq}, and the history has no end of it"
        for story in told.stories.values()
        if not story.is_open and story.ends and story.run not in evidence.ends
    ]


def now_ms(evidence: Evidence) -> int:
    return evidence.now_ms or max((entry.at_ns // 1_000_000 for entry in evidence.entries), default=0)
