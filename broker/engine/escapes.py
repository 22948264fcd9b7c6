"""Escapes: whether a failure got out to the run, or somebody on the way handled it. Only reads, and only runs folded with `keep`."""

from __future__ import annotations

from ...schemas.plan.plan import NONE, PlanNode
from ...schemas.plan.programs import SplitProgram
from . import guards
from .edges import holds
from .state import CANCELLED, FAILED, TAKEN, Run, Scope
from .turn import Turn


def escapes(run: Run, scope: Scope, node: PlanNode) -> bool:
    """Whether the failure of a node got out to the run: past its error edges, the guards, loops and splits around it."""
    turn = Turn(run, run.updated_at)
    error = scope.output(node.slot)
    if any(holds(turn, scope, edge, error) for edge in node.outs[node.ports.index("error")]):
        return False
    return gets_out_of(run, scope, node.guard)


def gets_out_of(run: Run, scope: Scope, guard: int) -> bool:
    """Whether a failure that has come to this guard (NONE: to the instance) got out to the run."""
    while guard != NONE:
        state = guards.state_of(scope, guard)
        if state is not None and (state.phase == "done" or was_handled(run, scope, guard)):
            return False
        guard = run.plan.guards[guard].parent
    if scope.parent is None:
        return True
    around, owner = scope.parent, run.plan.nodes[scope.plan.owner]
    if isinstance(owner.program, SplitProgram) and owner.program.on_item_error != "fail":
        return False
    status = around.cells[owner.slot]
    return escapes(run, around, owner) if status == FAILED else status == CANCELLED


def was_handled(run: Run, scope: Scope, guard: int) -> bool:
    """Whether the guard failed and its error handler took over."""
    state = guards.state_of(scope, guard)
    edges = run.plan.guards[guard].edges
    return state is not None and state.phase == "failed" and any(scope.cells[edge.mark] == TAKEN for edge in edges)


def was_undone_inside(run: Run, scope: Scope, node: PlanNode) -> bool:
    """Whether a completed node was undone by a guard around it whose failure went no further."""
    at: Scope | None = scope
    guard = node.guard
    while at is not None:
        while guard != NONE:
            plan, state = run.plan.guards[guard], guards.state_of(at, guard)
            if plan.compensate is not None and state is not None and state.phase == "failed" and not gets_out_of(run, at, guard):
                return True
            guard = plan.parent
        guard = run.plan.nodes[at.plan.owner].guard if at.parent is not None else NONE
        at = at.parent
    return False
