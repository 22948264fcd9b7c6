"""Activation: what each kind of node does when its join is satisfied.

Structural nodes are decided here and now; for everything else a task goes out. A switch or deep merge that would have to look into a
value that lies elsewhere goes out as a task too: a worker decides it by the same functions. A node's own failure to be decided
(a selector's value of the wrong kind, a list that is none) ends its attempt with a typed error like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ...schemas import payload as payloads
from ...schemas.effects import Emit
from ...schemas.flow.node_types import Kind
from ...schemas.payload import Payload
from ...schemas.plan.plan import NONE, PlanNode
from ...schemas.records import Error
from ...schemas.ref import ValueElsewhere
from ...schemas.values import deep_merge, to_text
from . import failure, guards, slots
from .bodies import start_loop, start_split
from .cancel import cancel_nodes
from .claims import is_queued
from .reading import engine_lookup, live_inputs, merge_input, node_input, render
from .routing import complete, skip
from .state import OPEN, READY, Scope, activation
from .turn import Turn
from .waits import start_child, start_delay, start_wait


def activate(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """Start a node whose join is satisfied, or skip it if no way led to it."""
    cells = scope.cells
    if cells[node.slot] != READY:
        return
    if node.joins != NONE and failure.join_failed(turn, scope, node):
        return
    if node.compensates == NONE and (cells[2 * scope.plan.size + node.slot] == 0 or not node.enabled):
        skip(turn, scope, node)
        return
    if turn.run.paused or (turn.plan.run_limits is not None and is_queued(turn.run)):
        return  # it stays READY; resuming starts it, or having the run's slots
    if node.guard != NONE:
        guards.enter(turn, scope, node.guard)
    start(turn, scope, node)


def start(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """Begin the node's current attempt."""
    if node.kind == Kind.TASK:
        if node.concurrency is not None and not slots.start(turn, scope, node):
            return  # it waits for its slot
        turn.dispatch(scope, node, node_input(turn.run, scope, node))
        return
    _STARTERS[node.kind](turn, scope, node)


def _switch(turn: Turn, scope: Scope, node: PlanNode) -> None:
    payload = node_input(turn.run, scope, node)
    find = engine_lookup(turn.run, scope, node) if node.needs or node.program.conditions[0].selectors else _no_lookup
    try:
        holds = node.program.conditions[0].test(payloads.decode(payload), find)
    except ValueElsewhere:
        turn.dispatch(scope, node, payload)
        return
    complete(turn, scope, node, node.ports.index("true" if holds else "false"), payload)


def _no_lookup(selector: Any) -> None:
    return None


def _merge(turn: Turn, scope: Scope, node: PlanNode) -> None:
    inputs = live_inputs(turn.run, scope, node)
    if node.program.cancel_others:
        _cancel_rivals(turn, scope, node)
    try:
        joined = _joined(node, inputs)
    except ValueElsewhere:
        scope.put(node.slot, merge_input(turn.run, scope, node))
        turn.dispatch(scope, node, scope.output(node.slot))
        return
    complete(turn, scope, node, node.ports.index("out"), joined)


def _cancel_rivals(turn: Turn, scope: Scope, node: PlanNode) -> None:
    """End the branches that came too late, also one whose scope would have been tried again."""
    cancel_nodes(turn, scope, [turn.plan.nodes[index] for index in node.rivals])
    states = (scope.more.guards if scope.more is not None else None) or {}
    for guard in sorted(states, reverse=True):
        if states[guard].phase == "retrying" and set(turn.plan.guards[guard].members) <= set(node.rivals):
            guards.abandon(turn, scope, guard)


def _joined(node: PlanNode, inputs: list[tuple[str, Payload]]) -> Payload:
    output = node.program.output
    if output == "first" or (len(node.ins) == 1 and node.ins[0].source != NONE and node.ins[0].port == "continue"):
        return inputs[0][1]
    if output == "list":
        return payloads.pack_list(payload for _, payload in inputs)
    if output == "deep_merge":
        return payloads.encode(deep_merge(payloads.decode(payload) for _, payload in inputs))
    return payloads.pack_map(inputs)


def _split(turn: Turn, scope: Scope, node: PlanNode) -> None:
    start_split(turn, scope, node, node_input(turn.run, scope, node))
    _set_timeout(turn, scope, node)


def _loop(turn: Turn, scope: Scope, node: PlanNode) -> None:
    start_loop(turn, scope, node, node_input(turn.run, scope, node))
    _set_timeout(turn, scope, node)


def _set_timeout(turn: Turn, scope: Scope, node: PlanNode) -> None:
    if node.timeout_ms is not None and scope.cells[node.slot] == OPEN:
        turn.set_timer(scope, node, "timeout", turn.now + node.timeout_ms)


def _emit(turn: Turn, scope: Scope, node: PlanNode) -> None:
    values = render(turn.run, scope, node)
    value = node_input(turn.run, scope, node)
    address = activation(scope, node)
    place = "".join(f"[{step}]" for step in address[1:])
    id = to_text(values["id"]) or f"{turn.run.id}/{node.id}{place}"
    payload = payloads.encode(values["payload"]) if node.config.payload is not None else value
    turn.effects.append(Emit(turn.run.id, address, to_text(values["subject"]) or "", payload, id))
    complete(turn, scope, node, node.ports.index("out"), value)


def _raise(turn: Turn, scope: Scope, node: PlanNode) -> None:
    values = render(turn.run, scope, node)
    error = Error(
        to_text(values["type"]) or "raised",
        to_text(values["message"]) or "",
        bool(values["retryable"]),
        details=_details(values["details"]),
    )
    failure.attempt_failed(turn, scope, node, error)


def _details(value: Any) -> Any:
    """An error's details, which travel by themselves and not in a payload: no refs, and coded values as the extensions that they are."""
    payload = payloads.encode(value)
    for ref in payloads.refs_in(payload):
        raise ValueElsewhere(ref)
    return msgspec.msgpack.decode(payload)


_STARTERS: dict[Kind, Callable[[Turn, Scope, PlanNode], None]] = {
    Kind.SWITCH: _switch,
    Kind.MERGE: _merge,
    Kind.SPLIT: _split,
    Kind.LOOP: _loop,
    Kind.WAIT: start_wait,
    Kind.DELAY: start_delay,
    Kind.SUBFLOW: start_child,
    Kind.EMIT: _emit,
    Kind.RAISE: _raise,
}
