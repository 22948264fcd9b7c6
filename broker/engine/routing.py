"""Routing: the four ways in which an activation ends, and what follows from each.

complete   its value goes out by a port
divert     it failed: its error goes out by the port `error` (to nobody, if nothing hangs there)
skip       no way led to it: all its ways are dead
drop       what it belongs to was given up: no way is followed
"""

from __future__ import annotations

from ...schemas.payload import Payload
from ...schemas.plan.plan import NONE, PlanNode
from ...schemas.records import Activation, Error
from . import guards
from .edges import follow, kill_exits
from .reading import error_payload
from .state import COMPLETED, FAILED, SKIPPED, Scope, activation
from .turn import ENDED, Turn, Undone


def complete(turn: Turn, scope: Scope, node: PlanNode, port: int, output: Payload) -> None:
    """`port` is the port's index in the plan's node."""
    _settle(scope, node, COMPLETED, port, output)
    if node.compensates != NONE:
        turn.queue.append((scope, Undone(node, None)))
        return
    follow(turn, scope, node, port, output)
    if node.compensate != NONE:
        _remember(turn, activation(scope, node), output)
    close(turn, scope, node)


def divert(turn: Turn, scope: Scope, node: PlanNode, error: Error) -> None:
    port = node.ports.index("error")
    output = error_payload(error)
    _settle(scope, node, FAILED, port, output)
    if node.compensates != NONE:
        turn.queue.append((scope, Undone(node, error)))
        return
    follow(turn, scope, node, port, output)
    kill_exits(turn, scope, node)
    close(turn, scope, node)


def skip(turn: Turn, scope: Scope, node: PlanNode) -> None:
    scope.cells[node.slot] = SKIPPED
    follow(turn, scope, node, NONE, b"")
    kill_exits(turn, scope, node)
    close(turn, scope, node)


def drop(turn: Turn, scope: Scope, node: PlanNode, status: int) -> None:
    """`status` is CANCELLED, SKIPPED or FAILED."""
    scope.cells[node.slot] = status
    if node.compensates == NONE:
        close(turn, scope, node)


def close(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """Count the end of an activation in its guards and its instance."""
    if node.guard != NONE:
        guards.leave(turn, scope, node.guard)
    scope.open -= 1
    if scope.open == 0:
        turn.queue.append((scope, ENDED))


def _remember(turn: Turn, address: Activation, output: Payload) -> None:
    """The activation can be undone from now on; completing again (its guard was restarted) counts as one completion, the last."""
    done = turn.run.rare().done
    done.pop(address, None)
    done[address] = output


def _settle(scope: Scope, node: PlanNode, status: int, port: int, output: Payload) -> None:
    scope.put(node.slot, output)
    scope.cells[node.slot] = status
    scope.cells[3 * scope.plan.size + node.slot] = port
