"""Guards at run time: entered with the first member that starts or ends, ended with the last.

While a guard is entered it keeps what is around it open (its instance, or the guard around it), so that nothing ends while it
is still undoing work or waiting to try again.
"""

from __future__ import annotations

from ...schemas.effects import ClearTimer, SetTimer
from ...schemas.limits import MOMENT_MS_MAX
from ...schemas.plan.plan import NONE, PlanGuard
from ...schemas.records import TimerId
from .edges import arrive, holds, release_deferred
from .reading import error_payload
from .state import GuardState, Scope
from .turn import ENDED, Turn


def state_of(scope: Scope, guard: int) -> GuardState | None:
    return None if scope.more is None or scope.more.guards is None else scope.more.guards.get(guard)


def enter(turn: Turn, scope: Scope, guard: int, starting: bool = True) -> None:
    """Make the guard and those around it active; the first member to start also starts the guard's timeout."""
    while guard != NONE:
        plan = turn.plan.guards[guard]
        state = state_of(scope, guard)
        if state is None:
            more = scope.rare()
            more.guards = more.guards or {}
            base = max(scope.base, (more.guard_bases or {}).get(guard, 0))
            state = more.guards[guard] = GuardState(len(plan.members), base)
            _hold(turn, scope, plan)
        if starting and plan.timeout_ms is not None and state.phase == "active":
            _start_timeout(turn, scope, plan, state)
        guard = plan.parent


def leave(turn: Turn, scope: Scope, guard: int) -> None:
    """A member has ended: the guard, and each around it, has one less open."""
    enter(turn, scope, guard, starting=False)
    while guard != NONE:
        _count_down(turn, scope, guard)
        guard = turn.plan.guards[guard].parent


def finish(turn: Turn, scope: Scope, guard: int, failed: bool) -> None:
    """The guard is over: held-back edges are decided and what it kept open is released."""
    state = state_of(scope, guard)
    assert state is not None
    state.phase = "failed" if failed else "done"
    state.error = state.error if failed else None
    clear_timers(turn, scope, guard)
    release_deferred(turn, scope, guard, failed)
    for edge in turn.plan.guards[guard].edges:
        taken = False
        if failed and state.error is not None:
            more = scope.rare()
            more.arrivals = more.arrivals or {}
            more.arrivals[edge.index] = error_payload(state.error)
            taken = holds(turn, scope, edge, more.arrivals[edge.index])
        arrive(turn, scope, edge, taken)
    parent = turn.plan.guards[guard].parent
    if parent != NONE:
        _count_down(turn, scope, parent)
        return
    scope.open -= 1
    if scope.open == 0:
        turn.queue.append((scope, ENDED))


def abandon(turn: Turn, scope: Scope, guard: int) -> None:
    """The guard is not wanted any more: as if it had failed, but nobody is told."""
    state = state_of(scope, guard)
    assert state is not None
    state.error = None
    finish(turn, scope, guard, failed=True)


def timer_id(turn: Turn, scope: Scope, guard: int, purpose: str, attempt: int) -> TimerId:
    """A guard's timer carries the guard's number where a node's timer carries the node's."""
    return TimerId((guard, *scope.path()), purpose, attempt)


def set_timer(turn: Turn, scope: Scope, guard: int, purpose: str, due: int) -> None:
    more, state = scope.rare(), state_of(scope, guard)
    assert state is not None
    more.timers, due = more.timers or {}, min(due, MOMENT_MS_MAX)
    more.timers[guard, purpose] = due
    turn.effects.append(SetTimer(turn.run.id, timer_id(turn, scope, guard, purpose, state.attempt), due))


def clear_timers(turn: Turn, scope: Scope, guard: int) -> None:
    state, timers = state_of(scope, guard), None if scope.more is None else scope.more.timers
    for purpose in ("scope", "scope_retry"):
        if timers and state is not None and timers.pop((guard, purpose), None) is not None:
            turn.effects.append(ClearTimer(turn.run.id, timer_id(turn, scope, guard, purpose, state.attempt)))


def _hold(turn: Turn, scope: Scope, plan: PlanGuard) -> None:
    if plan.parent == NONE:
        scope.open += 1
        return
    enter(turn, scope, plan.parent, starting=False)
    around = state_of(scope, plan.parent)
    assert around is not None
    around.open += 1


def _count_down(turn: Turn, scope: Scope, guard: int) -> None:
    state = state_of(scope, guard)
    assert state is not None
    state.open -= 1
    if state.open == 0 and state.phase == "active":
        finish(turn, scope, guard, failed=False)


def _start_timeout(turn: Turn, scope: Scope, plan: PlanGuard, state: GuardState) -> None:
    timers = None if scope.more is None else scope.more.timers
    if plan.timeout_ms is not None and (not timers or (plan.index, "scope") not in timers):
        set_timer(turn, scope, plan.index, "scope", turn.now + plan.timeout_ms)
