"""Undo: the compensations of a failed guard, or of a run that failed or was cancelled.

Only completed work is undone. The order is the reverse of its completion, all at once, or the order that the author listed. A
compensation that fails does not stop the others; its error is kept beside the one that caused all this.
"""

from __future__ import annotations

from ...schemas.plan.plan import NONE, at_level
from ...schemas.records import Activation, Error
from .state import PENDING, READY, Path, Scope, Undo, activation
from .turn import Turn, Undone


def begin(turn: Turn, guard: int, path: Path) -> bool:
    """Start undoing what the guard, or the whole run for NONE, has completed. False: there is nothing to undo.

    What guards inside it are undoing right now goes on, as a part of this: nobody undoes the same work twice.
    """
    rare = turn.run.rare()
    inner = [undo for undo in rare.undos if guard == NONE or _is_inside(turn, undo, guard, path)]
    mode, order = (turn.plan.settings.compensate, ()) if guard == NONE else turn.plan.guards[guard].compensate or ("", ())
    mine = [done for done in rare.done if mode and (guard == NONE or _in_guard(turn, done, guard, path))]
    if mode == "list":
        # Unlisted ones come last; `todo` is a stack, so the first to undo stands at its end.
        rank = {index: place for place, index in enumerate(order)}
        mine.sort(key=lambda done: -rank.get(int(done[0]), len(rank)))
    undo = Undo(guard, path, [(done, rare.done.pop(done)) for done in mine])
    for other in inner:
        undo.todo += other.todo
        undo.running |= other.running
        undo.errors += other.errors
        rare.undos.remove(other)
    _go_on(turn, undo, everything=mode == "parallel")
    if undo.running:
        rare.undos.append(undo)
    return bool(undo.running)


def ended(turn: Turn, scope: Scope, item: Undone) -> Undo | None:
    """A compensation has ended. The undo that it was the last one of, if it was."""
    address = activation(scope, item.node)
    undo = next((undo for undo in turn.run.rare().undos if address in undo.running), None)
    if undo is None:
        return None
    undo.running.discard(address)
    if item.error is not None:
        undo.errors.append(item.error)
    _go_on(turn, undo, everything=False)
    if undo.todo or undo.running:
        return None
    turn.run.rare().undos.remove(undo)
    return undo


def both_errors(error: Error, failures: list[Error]) -> Error:
    """The original error, with those of its compensations in its details."""
    if not failures:
        return error
    details = {"cause": error.details, "compensation_errors": [failure.as_value() for failure in failures]}
    return Error(error.type, error.message, error.retryable, error.node, error.attempts, details)


def _go_on(turn: Turn, undo: Undo, everything: bool) -> None:
    while undo.todo and (everything or not undo.running):
        done, output = undo.todo.pop()
        found = turn.run.find(done)
        if found is None:
            continue
        scope, node = found
        compensation = turn.plan.nodes[node.compensate]
        undo.running.add(activation(scope, compensation))
        if scope.cells[compensation.slot] != PENDING:  # its guard has started again since it last ran
            scope.cells[compensation.slot] = PENDING
            more = scope.rare()
            more.attempts = more.attempts or {}
            more.bases = more.bases or {}
            more.bases[compensation.slot] = scope.attempt(compensation.slot)
            more.attempts[compensation.slot] = more.bases[compensation.slot] + 1
        scope.cells[compensation.slot] = READY
        scope.put(compensation.slot, output)  # its input, in the place of its output until it has one
        turn.queue.append((scope, compensation))


def _is_inside(turn: Turn, undo: Undo, guard: int, path: Path) -> bool:
    return undo.guard != NONE and _in_guard(turn, (turn.plan.guards[undo.guard].members[0], *undo.path), guard, path)


def _in_guard(turn: Turn, done: Activation, guard: int, path: Path) -> bool:
    """Whether the activation stands in the guard: itself, or the loop or split in whose body it stands."""
    plan, target = turn.plan, turn.plan.guards[guard]
    index = at_level(plan.nodes, plan.scopes, int(done[0]), target.scope)
    return index in target.members and done[1 : plan.scopes[target.scope].depth + 1] == path
