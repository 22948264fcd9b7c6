"""Deadness: why no way led to a node, edge by edge."""

from __future__ import annotations

from collections.abc import Iterator

from ...schemas.flow.node_types import Kind
from ...schemas.plan.drawing.captions import gist
from ...schemas.plan.plan import NONE, EdgeKind, PlanEdge, PlanNode
from ..engine import Run
from ..engine.inspection import key
from ..engine.state import CANCELLED, COMPLETED, FAILED, PENDING, SKIPPED, TAKEN, Scope


def why_skipped(run: Run, scope: Scope, node: PlanNode) -> list[str]:
    """A reason for each edge that leads to the node, or the one reason that no edge is to blame for."""
    if not node.enabled:
        return ["it is disabled"]
    return list(dict.fromkeys(_reasons(run, scope, node)))


def _reasons(run: Run, scope: Scope, node: PlanNode) -> Iterator[str]:
    for edge in node.ins:
        if scope.cells[edge.mark] != TAKEN:
            yield _why_dead(run, scope, edge)


def _why_dead(run: Run, scope: Scope, edge: PlanEdge) -> str:
    match edge.kind:
        case EdgeKind.ENTRY if edge.trigger is not None:
            return _of_trigger(run, edge)
        case EdgeKind.ENTRY if scope is run.root:
            return "the run ended before it began" if not edge.condition_text else _condition(edge)
        case EdgeKind.ENTRY:
            return "the body began, but " + _condition(edge)
        case EdgeKind.GUARD:
            return f"{run.plan.guards[edge.guard].id} did not fail" if not _failed(scope, edge.guard) else _condition(edge)
        case EdgeKind.BACK | EdgeKind.EXIT:
            return f"no way led out of the body over {_name(run, edge.source)}.{edge.port}"
    return _of_node(run, scope, edge)


def _of_trigger(run: Run, edge: PlanEdge) -> str:
    if edge.trigger != run.trigger:
        return f"trigger {edge.trigger} did not fire" + (f", {run.trigger} did" if run.trigger is not None else "")
    trigger = run.plan.trigger(edge.trigger or "")
    return f"trigger {edge.trigger} is disabled" if trigger is not None and not trigger.enabled else _condition(edge)


def _of_node(run: Run, scope: Scope, edge: PlanEdge) -> str:
    source = run.plan.nodes[edge.source]
    status = scope.cells[source.slot]
    name = key(source, scope) if not source.hidden else "the scope before it"
    if status == SKIPPED:
        return f"{name} was skipped"
    if status == PENDING:
        return f"{name} was never reached"
    if status == CANCELLED:
        return f"{name} was cancelled"
    if status == FAILED and edge.port != "error":
        return f"{name} failed"
    if status in (COMPLETED, FAILED):
        port = source.ports[scope.cells[3 * scope.plan.size + source.slot]]
        if port != edge.port:
            return f"{name} went by {port}, not by {edge.port}" + (f" ({gist(source)})" if source.kind == Kind.SWITCH else "")
        return _condition(edge) if edge.deferred == NONE else f"the scope around {name} failed, or {_condition(edge)}"
    return f"{name} was given up"


def _condition(edge: PlanEdge) -> str:
    return f"the condition of the edge did not hold: {edge.condition_text}" if edge.condition_text else "its edge was not taken"


def _failed(scope: Scope, guard: int) -> bool:
    state = None if scope.more is None or scope.more.guards is None else scope.more.guards.get(guard)
    return state is not None and state.phase == "failed"


def _name(run: Run, node: int) -> str:
    return "its source" if node == NONE else run.plan.nodes[node].id
