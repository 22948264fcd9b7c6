"""Failure: from a failed attempt outwards, until somebody handles it.

    the node's retry policy     another attempt, later
    the node's error edge       the run goes on along it
    the innermost guard         its retry, then its error handler
    the loop or split around    fails in turn, unless the split collects or skips failed items
    the run                     fails, after its compensations

Each step outwards gives up what is still open inside it.
"""

from __future__ import annotations

import hashlib

from ...schemas.flow.definition import Retry
from ...schemas.limits import DURATION_MS_MAX
from ...schemas.plan.plan import NONE, EdgeKind, PlanNode, at_level
from ...schemas.records import Error
from . import guards, undo
from .cancel import cancel_node, cancel_nodes, cancel_scope
from .edges import drop_leaving, holds
from .reading import error_payload
from .routing import divert, drop
from .state import CANCELLED, COMPLETED, FAILED, PENDING, READY, RETRYING, TAKEN, UNDECIDED, Scope, Undo, activation
from .turn import ENDED, Turn


def attempt_failed(turn: Turn, scope: Scope, node: PlanNode, error: Error, after_ms: int | None = None) -> None:
    """An attempt has ended with an error: try again if the policy says so, else the activation has failed."""
    attempt = scope.attempt(node.slot)
    tries = attempt - (scope.more.bases.get(node.slot, scope.base) if scope.more is not None and scope.more.bases else scope.base)
    error = Error(error.type, error.message, error.retryable, error.node or node.id.removesuffix("~"), tries, error.details)
    if node.retry is None or not _may_try_again(node.retry, error, tries):
        activation_failed(turn, scope, node, error)
        return
    scope.cells[node.slot] = RETRYING
    more = scope.rare()
    more.attempts, more.errors = more.attempts or {}, more.errors or {}
    more.attempts[node.slot] = attempt + 1
    more.errors[node.slot] = error
    delay = (
        min(max(after_ms, 0), DURATION_MS_MAX)
        if after_ms is not None
        else backoff_ms(node.retry, tries, f"{turn.run.id}/{activation(scope, node)}")
    )
    turn.set_timer(scope, node, "retry", turn.now + delay)


def _may_try_again(retry: Retry, error: Error, tries: int) -> bool:
    """Whether the policy, of a node or of a scope, allows an attempt after so many."""
    return error.retryable and tries < retry.max_attempts and error.type not in retry.non_retryable


def backoff_ms(retry: Retry, failures: int, seed: str) -> int:
    """Delay before the attempt after the n-th failure: `min(initial · multiplier^(n-1), max)`.

    With jitter it is spread over the upper half of that, by a hash and not by chance: the engine must decide the same again.
    """
    try:
        delay = min(retry.initial_delay_ms * retry.backoff_multiplier ** (failures - 1), retry.max_delay_ms)
    except OverflowError:  # the power has long passed any maximum
        delay = retry.max_delay_ms if retry.initial_delay_ms else 0
    if not retry.jitter:
        return int(delay)
    digest = hashlib.blake2b(f"{seed}/{failures}".encode(), digest_size=4).digest()
    return int(delay * (0.5 + 0.5 * int.from_bytes(digest, "big") / 0xFFFFFFFF))


def activation_failed(turn: Turn, scope: Scope, node: PlanNode, error: Error) -> None:
    """No attempt is left."""
    if node.compensates != NONE or _is_taken(turn, scope, node, error) or _others_may_do(turn, scope, node, error):
        divert(turn, scope, node, error)
    elif node.guard != NONE:
        fail_guard(turn, scope, node.guard, error, culprit=node)
    elif scope.parent is not None:
        # Queued before the node ends: where it is the last of its instance, the failure must be seen before that end.
        turn.queue.append((scope, error))
        _mark_failed(turn, scope, node, error)
    elif turn.plan.settings.on_failure == "finish":
        turn.run.error = turn.run.error or error
        divert(turn, scope, node, error)
    else:
        _mark_failed(turn, scope, node, error)
        end_run(turn, "failed", error)


def _is_taken(turn: Turn, scope: Scope, node: PlanNode, error: Error) -> bool:
    """Whether an error edge of the node lets this error through."""
    edges = node.outs[node.ports.index("error")]
    return any(edge.condition is None or holds(turn, scope, edge, error_payload(error)) for edge in edges)


def _others_may_do(turn: Turn, scope: Scope, node: PlanNode, error: Error) -> bool:
    """Whether the node is in a branch of a parallel scope that is content with some of its branches.

    The branch is dead then. The scope's join fails with this error if too few are left for it.
    """
    if node.guard == NONE or turn.plan.guards[node.guard].completion == "all" or node.joins != NONE:
        return False
    _remember(turn, scope, node.guard, error)
    return True


def _remember(turn: Turn, scope: Scope, guard: int, error: Error) -> None:
    guards.enter(turn, scope, guard, starting=False)
    state = guards.state_of(scope, guard)
    assert state is not None
    state.error = error


def join_failed(turn: Turn, scope: Scope, node: PlanNode) -> bool:
    """Whether a scope's join has fewer branches left than it needs, because others failed: then the scope fails with their error."""
    if node.joins == NONE or scope.cells[2 * scope.plan.size + node.slot] >= max(node.join, 1):
        return False
    state = guards.state_of(scope, node.joins)
    if state is None or state.error is None:
        return False
    fail_guard(turn, scope, node.joins, state.error)
    return True


def fail_guard(turn: Turn, scope: Scope, guard: int, error: Error, culprit: PlanNode | None = None) -> None:
    """Give up the guard's open members, undo what it is told to undo, then see what comes next."""
    guards.enter(turn, scope, guard, starting=False)
    state = guards.state_of(scope, guard)
    assert state is not None
    plan = turn.plan.guards[guard]
    state.phase, state.error = "undoing", error
    guards.clear_timers(turn, scope, guard)
    if culprit is not None:
        _mark_failed(turn, scope, culprit, error)
    for inner in turn.plan.guards:
        inner_state = guards.state_of(scope, inner.index) if inner.scope == scope.plan.index else None
        if inner_state is not None and inner_state.phase not in ("done", "failed") and _inside(turn, inner.parent, guard):
            inner_state.phase = "failed"
            guards.clear_timers(turn, scope, inner.index)
    for index in plan.members:
        if scope.cells[turn.plan.nodes[index].slot] < COMPLETED:
            cancel_node(turn, scope, turn.plan.nodes[index])
    drop_leaving(turn, scope, plan.members)
    if not undo.begin(turn, guard, scope.path()):
        guard_given_up(turn, scope, guard, error)


def guard_given_up(turn: Turn, scope: Scope, guard: int, error: Error) -> None:
    """The guard's work is cancelled and undone: try it again, hand its error on, or fail what is around it."""
    plan, state = turn.plan.guards[guard], guards.state_of(scope, guard)
    assert state is not None
    state.error = error
    retry = plan.retry
    tries = state.attempt - state.base
    if retry is not None and _may_try_again(retry, error, tries):
        state.phase = "retrying"
        delay = backoff_ms(retry, tries, f"{turn.run.id}/{plan.id}/{scope.path()}")
        state.attempt += 1
        guards.set_timer(turn, scope, guard, "scope_retry", turn.now + delay)
    elif any(turn.plan.nodes[edge.target].enabled and holds(turn, scope, edge, error_payload(error)) for edge in plan.edges):
        guards.finish(turn, scope, guard, failed=True)
    elif plan.parent != NONE and turn.plan.guards[plan.parent].completion != "all":
        _remember(turn, scope, plan.parent, error)
        guards.finish(turn, scope, guard, failed=True)
    elif plan.parent != NONE:
        state.phase = "failed"
        fail_guard(turn, scope, plan.parent, error)
    elif scope.parent is not None:
        turn.queue.append((scope, error))
    elif turn.plan.settings.on_failure == "finish":
        turn.run.error = turn.run.error or error
        guards.finish(turn, scope, guard, failed=True)
    else:
        end_run(turn, "failed", error)


def restart_guard(turn: Turn, scope: Scope, guard: int) -> None:
    """Begin the guard's next attempt: its members are as if nothing had happened, but for their attempt numbers."""
    plan, state = turn.plan.guards[guard], guards.state_of(scope, guard)
    assert state is not None
    members = set(plan.members)
    more = scope.rare()
    for inner in turn.plan.guards:
        if more.guards and inner.index in more.guards and inner.scope == plan.scope and _inside(turn, inner.parent, guard):
            more.guard_bases = more.guard_bases or {}
            more.guard_bases[inner.index] = more.guards.pop(inner.index).attempt
    for index in plan.members:
        _reset(turn, scope, turn.plan.nodes[index], members)
    state.phase, state.open, state.error = "active", len(members), None
    for index in plan.members:
        node = turn.plan.nodes[index]
        size = scope.plan.size
        if scope.cells[size + node.slot] == 0 or 0 < node.join <= scope.cells[2 * size + node.slot]:
            scope.cells[node.slot] = READY
            turn.queue.append((scope, node))


def undecided(turn: Turn, scope: Scope, guard: int, error: Error) -> bool:
    """It is not known whether an edge is taken: the innermost guard that is still active fails, or the run.

    False: there is neither, and the body's instance has to fail.
    """
    while guard != NONE:
        state = guards.state_of(scope, guard)
        if state is not None and state.phase == "active":
            fail_guard(turn, scope, guard, error)
            return True
        guard = turn.plan.guards[guard].parent
    if scope.parent is not None:
        return False
    if turn.plan.settings.on_failure == "finish":
        turn.run.error = turn.run.error or error
    elif turn.run.status == "running":
        end_run(turn, "failed", error)
    return True


def end_run(turn: Turn, status: str, error: Error | None, fired: str = "") -> None:
    """Give up what is open, undo what was completed, and end the run with that status (`killed` undoes nothing).

    `fired`: the purpose of the run's timer that is the reason.
    """
    run = turn.run
    run.error = error if run.error is None else run.error
    turn.clear_run_timers(fired)
    run.status = "compensating"  # before the cancelling, so that nothing new starts
    cancel_scope(turn, run.root, kill=status == "killed")
    run.rare().ended = status
    if status == "killed":
        turn.queue.clear()
        _kill_undos(turn)
        run.status = status
    elif not undo.begin(turn, NONE, ()):
        run.status = status


def _kill_undos(turn: Turn) -> None:
    """Call back the compensations that are out, also those in instances that have ended."""
    undos, turn.run.rare().undos = turn.run.rare().undos, []
    for address in sorted(address for killed in undos for address in killed.running):
        found = turn.run.find(address)
        if found is not None:
            cancel_nodes(turn, found[0], [found[1]], kill=True)


def undone(turn: Turn, finished: Undo) -> None:
    """All compensations of a guard or of the run have ended."""
    run = turn.run
    if finished.guard == NONE:
        if run.error is not None:
            run.error = undo.both_errors(run.error, finished.errors)
        run.status = run.rare().ended
        return
    scope = run.scope_at(turn.plan.guards[finished.guard].scope, finished.path)
    state = None if scope is None else guards.state_of(scope, finished.guard)
    if scope is not None and state is not None and state.phase == "undoing" and state.error is not None:
        guard_given_up(turn, scope, finished.guard, undo.both_errors(state.error, finished.errors))
        return
    run.rare().undo_errors += finished.errors
    if run.root.open == 0:
        turn.queue.append((run.root, ENDED))  # only this undoing, of something that was given up, has kept the run open


def _mark_failed(turn: Turn, scope: Scope, node: PlanNode, error: Error) -> None:
    """The culprit ends as failed with its error as value; where that leads is decided outside of it."""
    scope.put(node.slot, error_payload(error))
    scope.cells[3 * scope.plan.size + node.slot] = node.ports.index("error")
    drop(turn, scope, node, FAILED)


def _inside(turn: Turn, guard: int, outer: int) -> bool:
    while guard not in (NONE, outer):
        guard = turn.plan.guards[guard].parent
    return guard == outer


def _reset(turn: Turn, scope: Scope, node: PlanNode, members: set[int]) -> None:
    size, cells, more = scope.plan.size, scope.cells, scope.rare()
    if cells[node.slot] in (COMPLETED, FAILED, CANCELLED):
        more.attempts, more.bases = more.attempts or {}, more.bases or {}
        more.bases[node.slot] = scope.attempt(node.slot)
        more.attempts[node.slot] = more.bases[node.slot] + 1
    if cells[node.slot] != PENDING:
        _reopen(turn, scope, node)
    cells[node.slot] = PENDING
    for edge in node.ins:
        if cells[edge.mark] != UNDECIDED and (edge.kind == EdgeKind.GUARD or _from_inside(turn, scope, edge.source, members)):
            cells[size + node.slot] += 1
            cells[2 * size + node.slot] -= cells[edge.mark] == TAKEN
            cells[edge.mark] = UNDECIDED


def _reopen(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """Count the member as open again in its instance and in the guards around the one that restarts."""
    scope.open += 1
    guard = node.guard
    while guard != NONE:
        state = guards.state_of(scope, guard)
        if state is not None and state.phase == "active":
            state.open += 1
        guard = turn.plan.guards[guard].parent


def _from_inside(turn: Turn, scope: Scope, source: int, members: set[int]) -> bool:
    """Whether an edge comes from a member or out of a body that a member owns."""
    return at_level(turn.plan.nodes, turn.plan.scopes, source, scope.plan.index) in members
