"""Firing: a timer is due, and what it was set for happens.

Only a timer that is set, for the current attempt of its node or guard, means anything: all others are stale. One that fires while the
run is paused is held, and takes effect when the run is resumed.
"""

from __future__ import annotations

from ...schemas.plan.plan import NONE, PlanNode
from ...schemas.records import Error, TimerFired, TimerId
from . import failure, guards, slots, waits
from .cancel import cancel_body
from .run_timers import PURPOSES, RUN, SLOT, TTL, run_timers
from .state import OPEN, READY, RETRYING, WAITING, Run, Scope
from .turn import Turn


def fired(turn: Turn, record: TimerFired) -> bool:
    """Let a timer take effect, or hold it while the run is paused. False: it is not set (any more), the record means nothing."""
    run, timer = turn.run, record.timer
    found = _set_timer(run, timer)
    if found is None:
        return False
    if run.paused:
        held, entry = run.rare().held_timers, (timer.activation, timer.purpose, timer.attempt)
        if entry in held:
            return False
        held.append(entry)
        return True
    if timer.purpose in PURPOSES:
        _run_timer(turn, timer.purpose)
        return True
    scope, slot = found
    assert scope.more is not None and scope.more.timers is not None
    del scope.more.timers[slot, timer.purpose]
    if timer.purpose in _GUARD_TIMERS:
        return _guard_timer(turn, scope, slot, timer.purpose)
    return _node_timer(turn, scope, run.plan.nodes[scope.plan.nodes[slot]], timer.purpose)


def _run_timer(turn: Turn, purpose: str) -> None:
    if purpose == SLOT:
        slots.turn_has_come(turn)
    elif purpose == TTL:
        what = f"the run had not ended {turn.plan.settings.ttl} after its event was taken"
        failure.end_run(turn, "cancelled", Error("expired", what, False), fired=TTL)
    else:
        what = f"the run took longer than {turn.plan.settings.execution_timeout_ms} ms"
        failure.end_run(turn, "failed", Error("timeout", what, False), fired=RUN)


_GUARD_TIMERS = ("scope", "scope_retry")


def _set_timer(run: Run, timer: TimerId) -> tuple[Scope, int] | None:
    """The instance of a timer that is set, and the slot of its node or the number of its guard; None for any other timer."""
    if timer.purpose in PURPOSES:
        return (run.root, NONE) if any(timer == each.timer for each in run_timers(run)) else None
    if timer.purpose in _GUARD_TIMERS:
        found = _guard_place(run, timer)
    else:
        place = run.find(timer.activation)
        found = None if place is None else (place[0], place[1].slot, place[0].attempt(place[1].slot))
    if found is None or found[2] != timer.attempt:
        return None
    scope, slot, _ = found
    is_set = scope.more is not None and scope.more.timers is not None and (slot, timer.purpose) in scope.more.timers
    return (scope, slot) if is_set else None


def _guard_place(run: Run, timer: TimerId) -> tuple[Scope, int, int] | None:
    """Instance, number and attempt of the guard that a timer belongs to."""
    index = timer.activation[0] if timer.activation else NONE
    if not isinstance(index, int) or not 0 <= index < len(run.plan.guards):
        return None
    scope = run.scope_at(run.plan.guards[index].scope, timer.activation[1:])
    state = None if scope is None else guards.state_of(scope, index)
    return None if scope is None or state is None else (scope, index, state.attempt)


def _node_timer(turn: Turn, scope: Scope, node: PlanNode, purpose: str) -> bool:
    status = scope.cells[node.slot]
    if purpose == "retry" and status == RETRYING:
        scope.cells[node.slot] = READY
        turn.queue.append((scope, node))
    elif purpose in ("delay", "wait") and status == WAITING:
        waits.timer_fired(turn, scope, node, purpose)
    elif purpose == "timeout" and status in (WAITING, OPEN):
        cancel_body(turn, scope, node)
        turn.release(scope, node)
        failure.attempt_failed(turn, scope, node, Error("timeout", f"took longer than {node.timeout_ms} ms"))
    else:
        return False
    return True


def _guard_timer(turn: Turn, scope: Scope, index: int, purpose: str) -> bool:
    guard = turn.plan.guards[index]
    if purpose == "scope":
        failure.fail_guard(turn, scope, index, Error("timeout", f"scope {guard.id!r} took longer than {guard.timeout_ms} ms"))
    else:
        failure.restart_guard(turn, scope, index)
    return True
