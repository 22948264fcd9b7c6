"""Phases: where the time of each activation went: on its queue, at work, waiting before the next attempt, waiting for something.

A worker says how long an attempt took; what is left between the record that gave it out and the record that ended it was spent on the queue
and on the way. An attempt that was taken back says nothing, and counts as work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...schemas.plan.plan import Plan
from ...schemas.records import Completion, Record
from ..engine.inspection import key
from .steps import Step, steps

WORK, BACKOFF = "running", "retrying"
ENDED = frozenset(("completed", "failed", "cancelled", "skipped"))
NOT_BEGUN = frozenset(("pending", "ready"))


@dataclass(slots=True)
class Phases:
    """In ms. `waited_ms`: for a timer, a signal, an event, a sub-flow, a slot, or for what is in its body.

    `since`: when its status last changed.
    """

    queued_ms: int = 0
    worked_ms: int = 0
    backoff_ms: int = 0
    waited_ms: int = 0
    worker: str = ""
    status: str = "pending"
    since: int = 0

    @property
    def took_ms(self) -> int:
        return self.queued_ms + self.worked_ms + self.backoff_ms + self.waited_ms

    def pass_on(self, at: int, status: str, took_us: int | None = None) -> None:
        """Count the time up to `at`, and begin with another status. `took_us`: the worker's own word about an attempt."""
        span = max(0, at - self.since)
        if self.status == WORK:
            worked = span if took_us is None else min(span, took_us // 1_000)
            self.worked_ms += worked
            self.queued_ms += span - worked
        elif self.status == BACKOFF:
            self.backoff_ms += span
        elif self.status not in NOT_BEGUN and self.status not in ENDED:
            self.waited_ms += span
        self.status, self.since = status, at

    def as_value(self) -> dict[str, int]:
        return {
            "took_ms": self.took_ms,
            "queued_ms": self.queued_ms,
            "worked_ms": self.worked_ms,
            "backoff_ms": self.backoff_ms,
            "waited_ms": self.waited_ms,
        }


def phases(plan: Plan, journal: Sequence[Record]) -> dict[str, Phases]:
    """By the activation's key. Raises UnreadableRecord, ReplayFailed."""
    found: dict[str, Phases] = {}
    for step in steps(plan, journal):
        if isinstance(step.record, Completion):
            _attempt_ended(step, step.record, found)
        for change in step.changes:
            if change.node != "run":
                found.setdefault(change.node, Phases()).pass_on(step.record.at, change.after)
    return found


def _attempt_ended(step: Step, record: Completion, found: dict[str, Phases]) -> None:
    """Before what it changed is looked at: another attempt may have begun with the same record, which changes nothing."""
    place = None if step.ignored else step.run.find(record.activation)
    known = None if place is None else found.get(key(place[1], place[0]))
    if known is not None and known.status == WORK:
        known.pass_on(record.at, WORK, record.took_us)
        known.worker = record.worker
