"""Outstanding: what a run has asked for and not been answered yet, worked out from its state alone.

After a crash the new owner folds the journal to its end and asks here for what the run is still waiting for. All of it carries the
same keys as the first time, so that an effect which did arrive is recognised as a repetition.

Not here are the effects that nobody answers (Emit, a detached StartChild, CancelTask, CancelChild, ClearTimer, StopAwaiting): the
state does not remember them. Whoever owns runs decides the records again whose effects it has not seen acknowledged, and repeats
these; they have their keys too.
"""

from __future__ import annotations

from ...schemas.effects import Effect, FinishRun, SetTimer, StartChild
from ...schemas.flow.node_types import Kind
from ...schemas.plan.plan import PlanNode
from ...schemas.records import Activation, TimerId
from ...schemas.ref import ValueElsewhere
from . import guards, recovery
from .claims import is_queued, wanted
from .reading import task
from .run_timers import run_timers
from .state import RUNNING, WAITING, Run, Scope, activation
from .waits import asked, child_request, wait_of


def timers(run: Run) -> list[SetTimer]:
    """The timers that are set: the part of `outstanding` that a new owner always needs, because timers live in its memory."""
    effects: list[Effect] = [*run_timers(run)]
    for scope in run.scopes():
        if scope.more is not None and scope.more.timers:
            _timers(run, scope, effects)
    return effects  # type: ignore[return-value]


def wants(run: Run, address: Activation, attempt: int) -> bool:
    """Whether the run still waits for the end of that attempt. False: its task need not be executed (any more)."""
    found = None if run.ended else run.find(address)
    if found is None:
        return False
    scope, node = found
    if scope.cells[node.slot] == RUNNING:
        return scope.attempt(node.slot) == attempt
    return run.rare_ is not None and run.rare_.losses is not None and run.rare_.losses.is_out(address, attempt)


def has_tasks_out(run: Run) -> bool:
    """Whether the run waits for the end of any attempt."""
    return any(RUNNING in scope.cells[: scope.plan.size] for scope in run.scopes()) or bool(recovery.tasks_out(run))


def outstanding(run: Run) -> list[Effect]:
    """The effects to repeat, in the order of instances and nodes; for a run that has ended, its FinishRun."""
    if run.ended:
        return [FinishRun(run.id, run.status, run.output, run.error)]
    if is_queued(run):  # also one that was reopened: nothing that it was at is given out before it has its slots
        return [*timers(run), *wanted(run)]
    effects: list[Effect] = [*run_timers(run), *wanted(run)]
    for scope in run.scopes():
        _timers(run, scope, effects)
        for index in scope.plan.nodes:
            node = run.plan.nodes[index]
            if scope.cells[node.slot] == RUNNING:
                effects.append(task(run, scope, node))
            elif scope.cells[node.slot] == WAITING:
                effects += _waiting(run, scope, node)
    return recovery.relocated(run, [*effects, *recovery.tasks_out(run)])


def _timers(run: Run, scope: Scope, effects: list[Effect]) -> None:
    for (index, purpose), due in sorted(((scope.more.timers if scope.more is not None else None) or {}).items()):
        if purpose in ("scope", "scope_retry"):
            state = guards.state_of(scope, index)
            timer = TimerId((index, *scope.path()), purpose, 1 if state is None else state.attempt)
        else:
            node = run.plan.nodes[scope.plan.nodes[index]]
            timer = TimerId(activation(scope, node), purpose, scope.attempt(index))
        effects.append(SetTimer(run.id, timer, due))


def _waiting(run: Run, scope: Scope, node: PlanNode) -> list[Effect]:
    wait = wait_of(scope, node)
    if wait is None or wait.kind == "timer":
        return []
    if node.kind == Kind.SUBFLOW:
        try:
            request: StartChild = child_request(run, scope, node)
        except ValueElsewhere:  # it was asked for with a value that has been made again since, and is large now
            return []
        return [request]
    due = scope.more.timers.get((node.slot, "wait")) if scope.more is not None and scope.more.timers else None
    return [asked(run, scope, node, wait, due)]
