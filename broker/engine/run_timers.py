"""Run timers: those of a run as a whole. They are not kept but follow from its state.

    run    `execution_timeout_ms`, from when the run has begun: not while it is queued
    ttl    `ttl`, from when its event was taken
    slot   its turn at a rate has come

A run that was reopened has other ones, by its life, and their times count from then.
"""

from __future__ import annotations

from ...schemas.effects import SetTimer
from ...schemas.limits import MOMENT_MS_MAX
from ...schemas.records import TimerId
from .claims import run_claim
from .state import Run

RUN, TTL, SLOT = "run", "ttl", "slot"
PURPOSES = (RUN, TTL, SLOT)


def run_timers(run: Run) -> list[SetTimer]:
    """Those that are set now."""
    if run.status != "running":
        return []
    found: list[SetTimer] = []
    timeout_ms, limits = run.plan.settings.execution_timeout_ms, run.plan.run_limits
    claim = None if limits is None else run_claim(run)
    if timeout_ms is not None and (claim is None or not claim.queued):
        found.append(_timer(run, RUN, (run.times_from if claim is None else claim.entered_at) + timeout_ms))
    if limits is not None and limits.ttl_ms is not None:
        found.append(_timer(run, TTL, run.times_from + limits.ttl_ms))
    if claim is not None and claim.due:
        found.append(_timer(run, SLOT, claim.due))
    return found


def _timer(run: Run, purpose: str, due: int) -> SetTimer:
    return SetTimer(run.id, TimerId((), purpose, run.life), min(due, MOMENT_MS_MAX))
