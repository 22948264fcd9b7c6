"""Durations: how long each activation took, from the record that started it to the one that ended it."""

from __future__ import annotations

from collections.abc import Sequence

from ...schemas.plan.plan import Plan
from ...schemas.records import Record
from .steps import steps

ENDED = frozenset(("completed", "failed", "cancelled"))
NOT_BEGUN = frozenset(("pending", "ready", "skipped"))


def durations_ms(plan: Plan, journal: Sequence[Record]) -> dict[str, int]:
    """In ms by the activation's key, its waits and retries included; 0 for what the engine decides by itself. None of what is open."""
    begun: dict[str, int] = {}
    took: dict[str, int] = {}
    for step in steps(plan, journal):
        for change in step.changes:
            if change.before in NOT_BEGUN and change.after not in NOT_BEGUN:
                begun[change.node] = step.record.at
            if change.after in ENDED:
                took[change.node] = max(0, step.record.at - begun.get(change.node, step.record.at))
    took.pop("run", None)
    return took
