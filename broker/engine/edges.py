"""Edges: every one of them ends taken or dead, once, in the instance that is its home.

A node is queued as soon as its join is satisfied: all in-edges decided with at least one taken, or as many taken as its merge asks
for. With all of them dead it is queued too, to be skipped: that is how a join behind a branch that was not taken always fires.

An edge that leaves a guard waits until the guard has ended (`deferred`). An edge that leaves a body waits in `leaving` until the
body's loop or split has ended.
"""

from __future__ import annotations

from ...schemas import payload as payloads
from ...schemas.errors import UnreadablePayload
from ...schemas.payload import Payload
from ...schemas.plan.binding import lookup
from ...schemas.plan.plan import NONE, EdgeKind, PlanEdge, PlanNode, at_level
from ...schemas.ref import ValueElsewhere
from .elsewhere import edge_error
from .state import COMPLETED, DEAD, FAILED, PENDING, READY, TAKEN, Scope
from .turn import Turn, Undecided


def arrive(turn: Turn, scope: Scope, edge: PlanEdge, taken: bool) -> None:
    """Decide an edge in its home, and queue its target if that satisfies the target's join."""
    cells = scope.cells
    node = turn.plan.nodes[edge.target]
    size, slot = scope.plan.size, node.slot
    cells[edge.mark] = TAKEN if taken else DEAD
    left = cells[size + slot] - 1
    cells[size + slot] = left
    if taken:
        cells[2 * size + slot] += 1
    if cells[slot] == PENDING and (left == 0 or (taken and 0 < node.join <= cells[2 * size + slot])):
        cells[slot] = READY
        turn.queue.append((scope, node))


def holds(turn: Turn, scope: Scope, edge: PlanEdge, value: Payload) -> bool:
    """Whether the edge lets a value through. Its condition looks at that value; of the flow it can read only the config.

    `scope` is the instance from which the edge comes: it fails, or a guard in it, if the condition cannot be decided here.
    """
    if edge.condition is None:
        return True
    try:
        return edge.condition.test(payloads.decode(value), lookup(turn.plan, {}, (), turn.run.id, ()))
    except UnreadablePayload:
        return False
    except ValueElsewhere as error:
        turn.queue.append((scope, Undecided(_guard_around(turn, scope, edge), edge_error(turn.run, edge, error.ref))))
        return False


def _guard_around(turn: Turn, scope: Scope, edge: PlanEdge) -> int:
    """The innermost guard, in this instance, around where the edge comes from."""
    if edge.kind == EdgeKind.GUARD:
        return turn.plan.guards[edge.guard].parent
    source = NONE if edge.source == NONE else at_level(turn.plan.nodes, turn.plan.scopes, edge.source, scope.plan.index)
    return NONE if source == NONE else turn.plan.nodes[source].guard


def follow(turn: Turn, scope: Scope, node: PlanNode, port: int, output: Payload) -> None:
    """Decide all out-edges of a node that has ended by this port; NONE: by none, all its ways are dead."""
    for number, edges in enumerate(node.outs):
        for edge in edges:
            if edge.kind == EdgeKind.FORWARD:
                if edge.deferred == NONE:
                    arrive(turn, scope, edge, number == port and holds(turn, scope, edge, output))
            elif number == port and holds(turn, scope, edge, output):
                _keep_leaving(scope, edge, output)


def leave_body(turn: Turn, around: Scope, edge: PlanEdge, value: Payload | None) -> None:
    """Decide an edge out of a body whose loop or split has ended; None: it is dead. `around` is where that one stands."""
    if edge.home != around.plan.index or edge.kind == EdgeKind.BACK:
        if value is not None:
            _keep_leaving(around, edge, value)
        elif around.more is not None and around.more.leaving:
            around.more.leaving.pop(edge.index, None)  # taken by an earlier attempt
        return
    if value is not None:
        more = around.rare()
        more.arrivals = more.arrivals or {}
        more.arrivals[edge.index] = value
    elif around.more is not None and around.more.arrivals:
        around.more.arrivals.pop(edge.index, None)
    if edge.deferred == NONE:
        arrive(turn, around, edge, value is not None)


def kill_exits(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """The node's body will not run, or not to its end: the ways out of it are dead."""
    if node.body != NONE:
        for edge in turn.plan.scopes[node.body].exits:
            leave_body(turn, scope, edge, None)


def release_deferred(turn: Turn, scope: Scope, guard: int, failed: bool) -> None:
    """Decide the edges that a guard has held back: by the ports of its members, or all dead because it failed."""
    plan, size = turn.plan, scope.plan.size
    arrivals = (scope.more.arrivals if scope.more is not None else None) or {}
    for index in plan.guards[guard].members:
        node = plan.nodes[index]
        ended = not failed and scope.cells[node.slot] in (COMPLETED, FAILED)
        port = scope.cells[3 * size + node.slot]
        for number, edges in enumerate(node.outs):
            for edge in edges:
                if edge.deferred == guard and edge.kind == EdgeKind.FORWARD:
                    taken = ended and number == port and holds(turn, scope, edge, scope.output(node.slot))
                    arrive(turn, scope, edge, taken)
        for edge in plan.scopes[node.body].exits if node.body != NONE else ():
            if edge.deferred == guard and edge.home == scope.plan.index:
                arrive(turn, scope, edge, ended and edge.index in arrivals)


def drop_leaving(turn: Turn, scope: Scope, members: tuple[int, ...]) -> None:
    """Forget the edges out of the body that members of a failed guard had taken."""
    leaving = None if scope.more is None else scope.more.leaving
    if leaving:
        nodes, scopes = turn.plan.nodes, turn.plan.scopes
        for index in [index for index in leaving if at_level(nodes, scopes, turn.plan.edges[index].source, scope.plan.index) in members]:
            del leaving[index]


def _keep_leaving(scope: Scope, edge: PlanEdge, value: Payload) -> None:
    more = scope.rare()
    more.leaving = more.leaving or {}
    more.leaving[edge.index] = value
