"""Giving up: ends whatever is open in a node, a guard, an instance or a run, and takes back what it had asked for."""

from __future__ import annotations

from collections.abc import Iterable

from ...schemas.plan.plan import NONE, PlanNode
from . import guards
from .routing import drop
from .state import CANCELLED, COMPLETED, PENDING, READY, SKIPPED, LoopBody, Scope
from .turn import Turn


def cancel_scope(turn: Turn, scope: Scope, kill: bool = False) -> None:
    """End everything in the instance and in the instances inside it."""
    nodes = turn.plan.nodes
    cancel_nodes(turn, scope, [nodes[index] for index in scope.plan.nodes], kill)
    if scope.more is not None and scope.more.guards:
        for guard, state in sorted(scope.more.guards.items()):
            state.phase = "failed" if state.phase != "done" else "done"
            guards.clear_timers(turn, scope, guard)


def cancel_nodes(turn: Turn, scope: Scope, nodes: Iterable[PlanNode], kill: bool = False) -> None:
    for node in nodes:
        if scope.cells[node.slot] < COMPLETED:
            cancel_node(turn, scope, node, kill)


def cancel_node(turn: Turn, scope: Scope, node: PlanNode, kill: bool = False) -> None:
    """End one open activation: cancelled if it had started, else skipped. A compensation is let go on to its end, unless killed."""
    started = scope.cells[node.slot] not in (PENDING, READY)
    if node.compensates != NONE and not (kill and started):
        return
    turn.release(scope, node, kill)
    cancel_body(turn, scope, node, kill)
    drop(turn, scope, node, CANCELLED if started else SKIPPED)


def cancel_body(turn: Turn, scope: Scope, node: PlanNode, kill: bool = False) -> None:
    """End the instances of a loop's or split's body."""
    body = scope.body(node.slot)
    if body is None:
        return
    if isinstance(body, LoopBody):
        if body.scope is not None:
            cancel_scope(turn, body.scope, kill)
        return
    body.used = body.attempts_used()
    for index, item in sorted(body.active.items()):
        cancel_scope(turn, item, kill)
        if turn.run.keep or has_undo(turn, item):
            body.kept[index] = item
    body.active.clear()


def has_undo(turn: Turn, scope: Scope) -> bool:
    """Whether something in the instance is being undone or may still have to be, so that its values must stay."""
    if not scope.plan.undoable:
        return False
    more = scope.more
    for body in more.bodies.values() if more is not None and more.bodies else ():
        if body.kept or any(has_undo(turn, inner) for inner in body.scopes()):
            return True
    undoable = (turn.plan.nodes[index].slot for index in scope.plan.nodes if turn.plan.nodes[index].compensate != NONE)
    return any(scope.cells[slot] == COMPLETED or (more is not None and more.bases and slot in more.bases) for slot in undoable)
