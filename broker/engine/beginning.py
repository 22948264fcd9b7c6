"""Beginning: the edges from a run's trigger are decided, and with them its first nodes start."""

from __future__ import annotations

from ...schemas.plan.plan import Plan
from .edges import arrive, holds
from .turn import ENDED, Turn


def enter(turn: Turn) -> None:
    """Let the run begin. Its timers are the caller's affair."""
    run, plan = turn.run, turn.plan
    for edge in plan.scopes[0].entries:
        fired = edge.trigger == run.trigger and _is_enabled(plan, edge.trigger)
        arrive(turn, run.root, edge, fired and holds(turn, run.root, edge, run.root.input))
    if run.root.open == 0:
        turn.queue.append((run.root, ENDED))  # a flow without nodes


def _is_enabled(plan: Plan, trigger: str | None) -> bool:
    found = None if trigger is None else plan.trigger(trigger)
    return found is None or found.enabled
