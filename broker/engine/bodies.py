"""Bodies: the instances that a loop or a split makes, and what happens when one ends or fails.

A loop has one instance at a time: its iterations. A split has as many as it may run at once; its items are cut from the
list's bytes one by one, or are refs into a list that lies elsewhere, and their results are joined as bytes in item order, so that a
hundred thousand items are never a hundred thousand objects.
"""

from __future__ import annotations

from typing import TypeVar

from ...schemas import payload as payloads
from ...schemas.errors import UnreadablePayload
from ...schemas.payload import NULL, ListCursor, Payload, RefCursor
from ...schemas.plan.plan import PlanNode
from ...schemas.plan.programs import LoopProgram, SplitProgram
from ...schemas.records import Error
from ...schemas.ref import Ref
from . import failure
from .cancel import cancel_body, cancel_scope, has_undo
from .edges import arrive, holds, leave_body
from .elsewhere import split_error
from .reading import end_value, engine_lookup, error_payload
from .routing import complete
from .state import OPEN, LoopBody, Scope, SplitBody, activation
from .turn import ENDED, Turn

AnyBody = TypeVar("AnyBody", LoopBody, SplitBody)


def ended(turn: Turn, scope: Scope) -> None:
    """Everything in an instance of a body has ended."""
    around, owner = _owner(turn, scope)
    if around.cells[owner.slot] != OPEN:
        return
    if isinstance(owner.program, LoopProgram):
        _iteration_ended(turn, around, owner, scope)
    else:
        _item_ended(turn, around, owner, scope, end_value(turn.run, scope))


def failed(turn: Turn, scope: Scope, error: Error) -> None:
    """Something in an instance of a body has failed and nobody in the body handles it."""
    around, owner = _owner(turn, scope)
    if around.cells[owner.slot] != OPEN:
        return
    cancel_scope(turn, scope)
    body = around.body(owner.slot)
    if isinstance(body, SplitBody):
        policy = owner.program.on_item_error
        if policy == "fail":
            error = Error(error.type, f"item {scope.index}: {error.message}", error.retryable, error.node, error.attempts, error.details)
        else:
            value = payloads.pack_map([("error", error_payload(error))]) if policy == "collect" else None
            _item_ended(turn, around, owner, scope, value)
            return
    cancel_body(turn, around, owner)
    turn.clear_timer(around, owner, "timeout")
    failure.attempt_failed(turn, around, owner, error)


# --- loops


def start_loop(turn: Turn, scope: Scope, node: PlanNode, value: Payload) -> None:
    more = scope.rare()
    more.bodies = more.bodies or {}
    more.bodies[node.slot] = _after(turn, scope, node, LoopBody(_attempts_before(turn, scope, node)))
    scope.cells[node.slot] = OPEN
    _iterate(turn, scope, node, value, 0)


def _iterate(turn: Turn, scope: Scope, node: PlanNode, value: Payload, iteration: int) -> None:
    body = scope.body(node.slot)
    assert isinstance(body, LoopBody)
    program: LoopProgram = node.program
    if iteration >= program.max_iterations:
        if program.endless:
            what = f"the loop at {node.id.removesuffix('~')!r} came back {iteration} times"
            failure.attempt_failed(turn, scope, node, Error("loop_limit", f"{what}; raise settings.limits.iterations if it should", False))
            return
        _leave_loop(turn, scope, node, value)
    elif program.conditions and _holds(turn, scope, node, value, iteration):
        _leave_loop(turn, scope, node, value)
    else:
        if body.scope is not None:
            body.used = body.attempts_used()
            if turn.run.keep or has_undo(turn, body.scope):
                body.kept[body.scope.index] = body.scope
        body.scope = Scope(turn.plan.scopes[node.body], scope, iteration, value, body.base)
        body.value = value
        start_instance(turn, body.scope)


def _holds(turn: Turn, scope: Scope, node: PlanNode, value: Payload, iteration: int) -> bool:
    find = engine_lookup(turn.run, scope, node)
    return any(condition.test(payloads.decode(value), find, iteration) for condition in node.program.conditions)


def _iteration_ended(turn: Turn, scope: Scope, node: PlanNode, iteration: Scope) -> None:
    leaving = (iteration.more.leaving if iteration.more is not None else None) or {}
    back = [(edge.label, leaving[edge.index]) for edge in turn.plan.scopes[node.body].backs if edge.index in leaving]
    if back:
        value = back[0][1] if len(back) == 1 else payloads.pack_map(back)
        _iterate(turn, scope, node, value, iteration.index + 1)
    else:
        body = scope.body(node.slot)
        assert isinstance(body, LoopBody)
        _leave_loop(turn, scope, node, body.value)


def _leave_loop(turn: Turn, scope: Scope, node: PlanNode, value: Payload) -> None:
    """The loop ends. A way that led out of its last iteration wins over the port `exit`."""
    turn.clear_timer(scope, node, "timeout")
    body = scope.body(node.slot)
    last = body.scope if isinstance(body, LoopBody) else None
    leaving = (last.more.leaving if last is not None and last.more is not None else None) or {}
    exits = turn.plan.scopes[node.body].exits
    came_back = any(edge.index in leaving for edge in turn.plan.scopes[node.body].backs)
    broke_out = not came_back and any(edge.index in leaving for edge in exits)
    for edge in exits:
        leave_body(turn, scope, edge, leaving.get(edge.index) if not came_back else None)
    port = node.ports.index("continue" if broke_out else "exit")
    complete(turn, scope, node, port, value)


# --- splits


def start_split(turn: Turn, scope: Scope, node: PlanNode, value: Payload) -> None:
    program: SplitProgram = node.program
    found, cursor = None, None
    try:
        found = payloads.find(value, program.path)
        cursor = None if found is None else payloads.cursor(found)
    except UnreadablePayload:
        found = value if found is None else found
    if found is None or cursor is None:
        failure.attempt_failed(turn, scope, node, _no_list(node, found))
        return
    more = scope.rare()
    more.bodies = more.bodies or {}
    split = SplitBody(found, _batches(cursor.total, program.batch_size), cursor.offset, _attempts_before(turn, scope, node))
    more.bodies[node.slot] = _after(turn, scope, node, split)
    scope.cells[node.slot] = OPEN
    _fill(turn, scope, node)


def _no_list(node: PlanNode, found: Payload | None) -> Error:
    """Why there are no items; `found` is what stands where the list should."""
    ref = None if found is None else payloads.ref_of(found)
    if ref is not None and (type(ref) is Ref or ref.path):  # a whole coded value knows that it is no list
        return split_error(node, ref)
    kind, what = ("missing_field", "is missing") if found is None else ("not_a_list", "is not a list")
    return Error(kind, f"the split's field `{node.config.field or '$'}` {what}", False)


def _batches(total: int, batch_size: int) -> int:
    return total if not batch_size else -(-total // batch_size)


def _fill(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """Start items while there are any and there is room; with none left and none running, the split is done."""
    body, program = scope.body(node.slot), node.program
    assert isinstance(body, SplitBody)
    if body.position < body.total and len(body.active) < program.max_parallel:
        cursor = body.cursor()
        while body.position < body.total and len(body.active) < program.max_parallel:
            index = body.position
            item = Scope(turn.plan.scopes[node.body], scope, index, _next(body, cursor, program.batch_size), body.base)
            body.active[index] = item
            start_instance(turn, item)
    elif not body.active and body.position == body.total:
        _done(turn, scope, node, body)


def _next(body: SplitBody, cursor: ListCursor | RefCursor, batch_size: int) -> Payload:
    if batch_size:
        count = min(batch_size, cursor.total - cursor.position)
        payload = payloads.list_header(count) + cursor.next(count)
    else:
        payload = cursor.next(1)
    body.position += 1
    body.consumed, body.offset = cursor.position, cursor.offset
    return payload


def _item_ended(turn: Turn, scope: Scope, node: PlanNode, item: Scope, value: Payload | None) -> None:
    """Put the item's value (None: leave it out) in its place and start the next one."""
    body = scope.body(node.slot)
    assert isinstance(body, SplitBody)
    if body.active.pop(item.index, None) is None:
        return
    body.used = max(body.used, item.attempts_used())
    if turn.run.keep or has_undo(turn, item):
        body.kept[item.index] = item
    body.early[item.index] = (value, item.more.leaving if item.more is not None else None)
    while body.flushed in body.early:
        next_value, leaving = body.early.pop(body.flushed)
        body.flushed += 1
        if next_value is not None:
            body.results += next_value
            body.count += 1
        for edge, left in (leaving or {}).items():
            count, joined = body.leaving.get(edge) or (0, bytearray())
            joined += left
            body.leaving[edge] = (count + 1, joined)
    _fill(turn, scope, node)


def _done(turn: Turn, scope: Scope, node: PlanNode, body: SplitBody) -> None:
    turn.clear_timer(scope, node, "timeout")
    plan = turn.plan.scopes[node.body]
    for edge in plan.exits:
        count, joined = body.leaving.get(edge.index) or (0, bytearray())
        # A closing merge also fires when there were no items at all: with empty lists.
        taken = count > 0 or (body.total == 0 and edge.target == plan.closing)
        leave_body(turn, scope, edge, payloads.list_header(count) + bytes(joined) if taken else None)
    value = payloads.list_header(body.count) + bytes(body.results)
    body.data, body.results, body.cursor_ = NULL, bytearray(), None
    complete(turn, scope, node, node.ports.index("done"), value)


# --- instances


def _attempts_before(turn: Turn, scope: Scope, node: PlanNode) -> int:
    """How many attempts the activations of an earlier body may have had: a body that starts again must not repeat their numbers."""
    before, rare = scope.body(node.slot), turn.run.rare_
    if before is not None:
        return before.attempts_used()
    earlier = {} if rare is None or rare.reopened is None else rare.reopened.bases
    return max(scope.base, earlier.get(activation(scope, node), 0)) if earlier else scope.base


def _after(turn: Turn, scope: Scope, node: PlanNode, body: AnyBody) -> AnyBody:
    """The body of a new attempt, with those instances of the earlier one that hold work which may still have to be undone."""
    before = scope.body(node.slot)
    if before is not None:
        body.kept = {instance.index: instance for instance in before.scopes() if has_undo(turn, instance)}
    return body


def start_instance(turn: Turn, scope: Scope) -> None:
    """Take the entry edges of a body's new instance."""
    for edge in scope.plan.entries:
        arrive(turn, scope, edge, holds(turn, scope, edge, scope.input))
    if scope.open == 0:
        turn.queue.append((scope, ENDED))  # an empty body


def _owner(turn: Turn, scope: Scope) -> tuple[Scope, PlanNode]:
    assert scope.parent is not None
    return scope.parent, turn.plan.nodes[scope.plan.owner]
