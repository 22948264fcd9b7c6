"""Lives: what a run that goes on must not confuse with what it was before.

Attempts of an activation that is open again are numbered on behind those it has had, so a task, completion, timer or sub-flow of an earlier
life means nothing in this one. How often a retry policy has tried is counted from the new life on. Timeouts count anew, too: a run that
failed last week has not been working since. Durations that somebody waits for on purpose are not touched: what is due is due.
"""

from __future__ import annotations

from ...schemas.flow.node_types import Kind
from ...schemas.plan.plan import PlanNode
from ...schemas.ref import ValueElsewhere
from .state import COMPLETED, PENDING, READY, SKIPPED, WAITING, Body, GuardState, LoopBody, Run, Scope, activation
from .waits import TIMER, child_request


def go_on_behind(run: Run, before: Run) -> None:
    """Number the attempts to come behind those of the life before. `before` was folded with `keep`."""
    reopened = None if before.rare_ is None else before.rare_.reopened
    if reopened is not None:  # also where the life before did not come so far
        run.rare().reopened.bases.update(reopened.bases)  # type: ignore[union-attr]
    _scope(run, run.root, before.root)
    _made_again(run, before)


def renew_timeouts(run: Run, at: int) -> None:
    """Let the timeouts that are set count from `at`: of nodes, scopes and waits; the run's own does so by `Run.times_from`."""
    for scope in run.scopes():
        timers = (scope.more.timers if scope.more is not None else None) or {}
        for index, purpose in timers:
            limit = _limit_ms(run, scope, index, purpose)
            if limit is not None:
                timers[index, purpose] = at + limit


def _limit_ms(run: Run, scope: Scope, index: int, purpose: str) -> int | None:
    """How long what the timer bounds may take; None of a timer that bounds nothing."""
    if purpose == "scope":
        return run.plan.guards[index].timeout_ms
    if purpose == "scope_retry":
        return None
    node = run.plan.nodes[scope.plan.nodes[index]]
    if purpose == "timeout":
        return node.timeout_ms
    wait = scope.more.waits.get(index) if scope.more is not None and scope.more.waits else None
    is_bound = purpose == "wait" and wait is not None and wait.kind != TIMER
    return node.config.due_after_ms if is_bound else None


def _scope(run: Run, scope: Scope, before: Scope) -> None:
    for index in scope.plan.nodes:
        node = run.plan.nodes[index]
        if scope.cells[node.slot] < COMPLETED:
            _go_on(run, scope, node, _attempts_had(before, node.slot))
        earlier = before.body(node.slot)
        if earlier is not None:
            _body(run, scope, node, earlier)
    _guards(scope, before)


def _attempts_had(before: Scope, slot: int) -> int:
    """The number of the last attempt that was begun."""
    never_begun = before.cells[slot] in (PENDING, READY, SKIPPED)
    return before.attempt(slot) - never_begun


def _go_on(run: Run, scope: Scope, node: PlanNode, had: int) -> None:
    attempt = scope.attempt(node.slot)
    if attempt > had:
        return
    more = scope.rare()
    more.attempts, more.bases = more.attempts or {}, more.bases or {}
    more.bases[node.slot] = more.bases.get(node.slot, scope.base) + had + 1 - attempt
    more.attempts[node.slot] = had + 1
    if node.kind == Kind.SUBFLOW and scope.cells[node.slot] == WAITING:
        _rename_child(run, scope, node)


def _rename_child(run: Run, scope: Scope, node: PlanNode) -> None:
    """The child of the attempt has an id of its own, which is what the node waits for."""
    wait = scope.more.waits.get(node.slot) if scope.more is not None and scope.more.waits else None
    if wait is not None:
        try:
            wait.name = child_request(run, scope, node).child
        except ValueElsewhere:  # it could not be asked for either: see `outstanding`
            return


def _body(run: Run, scope: Scope, node: PlanNode, before: Body) -> None:
    body = scope.body(node.slot)
    if body is None:
        reopened = run.rare().reopened
        assert reopened is not None
        address = activation(scope, node)
        reopened.bases[address] = max(before.attempts_used(), reopened.bases.get(address, 0))
        return
    earlier = {instance.index: instance for instance in before.scopes()}
    for instance in body.scopes():
        if instance.index in earlier:
            _scope(run, instance, earlier[instance.index])
    body.base = max(body.base, before.base)
    if any(index >= _next_instance(body) for index in earlier):
        body.base = max(body.base, before.attempts_used())
    body.used = max(body.used, body.base)


def _next_instance(body: Body) -> int:
    if isinstance(body, LoopBody):
        return 0 if body.scope is None else body.scope.index + 1
    return body.position


def _guards(scope: Scope, before: Scope) -> None:
    """A guard's timers carry its attempt."""
    had = {index: state.attempt for index, state in ((before.more.guards if before.more is not None else None) or {}).items()}
    for index, attempt in ((before.more.guard_bases if before.more is not None else None) or {}).items():
        had[index] = max(attempt, had.get(index, 0))
    for index, attempt in had.items():
        more = scope.rare()
        state = (more.guards or {}).get(index)
        if state is None:
            more.guard_bases = more.guard_bases or {}
            more.guard_bases[index] = max(attempt, more.guard_bases.get(index, 0))
        elif state.phase not in ("done", "failed"):
            _raise(state, attempt)


def _raise(state: GuardState, had: int) -> None:
    shift = had + 1 - state.attempt
    if shift > 0:
        state.base += shift
        state.attempt += shift


def _made_again(run: Run, before: Run) -> None:
    """What is out to make lost payloads again is out under a new number."""
    losses = run.rare().losses
    for address, again in losses.again.items() if losses is not None else ():
        here, there = run.find(address), before.find(address)
        if again.out and here is not None and there is not None:
            (scope, node), (other, _) = here, there
            more = scope.rare()
            more.attempts = more.attempts or {}
            again.attempt = more.attempts[node.slot] = max(scope.attempt(node.slot), other.attempt(node.slot) + 1)
