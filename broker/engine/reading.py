"""Reading values out of a run: a node's input, what its selectors need, the run's output.

Payloads are joined as bytes; they are decoded only where the engine itself must look inside.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...schemas import payload as payloads
from ...schemas.effects import Dispatch
from ...schemas.flow.node_types import Kind
from ...schemas.payload import NULL, Payload
from ...schemas.plan.binding import lookup
from ...schemas.plan.plan import NONE, Binding, EdgeKind, Need, PlanEdge, PlanNode, Source
from ...schemas.records import Error
from ...schemas.ref import Coded, Ref, ValueElsewhere
from ...schemas.selectors import Selector
from .state import COMPLETED, FAILED, RUNNING, TAKEN, LoopBody, Run, Scope, activation


def edge_value(run: Run, scope: Scope, edge: PlanEdge) -> Payload:
    """What stands on a taken edge. `scope` is the instance of the edge's home."""
    if edge.kind == EdgeKind.FORWARD:
        return scope.output(run.plan.nodes[edge.source].slot)
    if edge.kind == EdgeKind.ENTRY:
        return scope.input
    more = scope.more
    return more.arrivals.get(edge.index, NULL) if more is not None and more.arrivals is not None else NULL


def live_inputs(run: Run, scope: Scope, node: PlanNode) -> list[tuple[str, Payload]]:
    """The taken in-edges with their labels, in declared order."""
    cells = scope.cells
    return [(edge.label, edge_value(run, scope, edge)) for edge in node.ins if cells[edge.mark] == TAKEN]


def node_input(run: Run, scope: Scope, node: PlanNode) -> Payload:
    """What the node receives: the value of its one live edge, or a map of several by their sources."""
    ins = node.ins
    if len(ins) == 1:
        return edge_value(run, scope, ins[0])
    if node.compensates != NONE:  # it has no edges: the compiler refuses them
        return scope.output(node.slot)  # put there when it was told to undo
    live = live_inputs(run, scope, node)
    return live[0][1] if len(live) == 1 else payloads.pack_map(live)


def task(run: Run, scope: Scope, node: PlanNode) -> Dispatch:
    """The task of a node's current attempt. A merge that a worker is to decide gets the list of what had arrived when it started."""
    if node.kind != Kind.MERGE:
        value = node_input(run, scope, node)
    elif scope.cells[node.slot] == RUNNING:
        value = scope.output(node.slot)  # kept there until there is an output: more may have arrived meanwhile
    else:
        value = merge_input(run, scope, node)
    return Dispatch(run.id, activation(scope, node), scope.attempt(node.slot), value, collect_needs(run, scope, node.needs))


def merge_input(run: Run, scope: Scope, node: PlanNode) -> Payload:
    """What a worker gets that is to merge: the list of what has arrived."""
    return payloads.pack_list(payload for _, payload in live_inputs(run, scope, node))


def collect_needs(run: Run, scope: Scope, needs: tuple[Need, ...]) -> tuple[Payload, ...]:
    """The payloads behind the selectors of a node in this instance."""
    return tuple(_need(run, scope, need) for need in needs)


def _need(run: Run, scope: Scope, need: Need) -> Payload:
    if need.source == Source.NODE:
        return _output_seen_from(run, scope, need)
    if need.source == Source.TRIGGER:
        return trigger_value(run)
    if need.source == Source.EVENT:
        return run.root.input if run.trigger == need.name else NULL
    if need.source == Source.RUN:
        return payloads.encode({"id": run.id, "started_at": run.started_at})
    return _guard_error(scope, need)


def trigger_value(run: Run) -> Payload:
    trigger = None if run.trigger is None else run.plan.trigger(run.trigger)
    head = [("id", payloads.encode(run.trigger)), ("type", payloads.encode(None if trigger is None else trigger.type))]
    return payloads.pack_map([*head, ("payload", run.root.input), ("meta", run.meta)])


def _output_seen_from(run: Run, scope: Scope, need: Need) -> Payload:
    at: Scope | None = scope
    for _ in range(need.up):
        at = None if at is None else at.parent
    for owner in need.down:
        body = None if at is None else at.body(run.plan.nodes[owner].slot)
        at = body.scope if isinstance(body, LoopBody) else None
    if at is None:
        return NULL
    slot = run.plan.nodes[need.index].slot
    if at.cells[slot] == COMPLETED:
        return at.output(slot)
    # `${node.error.message}` reads the error of a node that failed, everything else of it is null.
    return payloads.pack_map([("error", at.output(slot))]) if at.cells[slot] == FAILED else NULL


def _guard_error(scope: Scope, need: Need) -> Payload:
    at: Scope | None = scope
    for _ in range(need.up):
        at = None if at is None else at.parent
    guards = None if at is None or at.more is None else at.more.guards
    state = None if guards is None else guards.get(need.index)
    return payloads.encode({"error": None if state is None or state.error is None else state.error.as_value()})


def engine_lookup(run: Run, scope: Scope, node: PlanNode) -> Callable[[Selector], Any]:
    """The selector function for a value that the engine renders itself."""
    return lookup(run.plan, node.roots, collect_needs(run, scope, node.needs), run.id, activation(scope, node))


def render(run: Run, scope: Scope, node: PlanNode) -> Any:
    """The node's config with its selectors filled in."""
    template = node.template
    assert template is not None
    return template.render(engine_lookup(run, scope, node))


def at_hand(value: Any) -> Any:
    """A rendered value that the engine itself uses. Raises ValueElsewhere if it is a ref or coded."""
    if type(value) in (Ref, Coded):
        raise ValueElsewhere(value)
    return value


def run_output(run: Run) -> Payload:
    """The run's output: as declared, or the values of the end nodes."""
    if run.plan.outputs is not None:
        return payloads.encode(_bound(run, run.plan.outputs))
    return end_value(run, run.root)


def _bound(run: Run, binding: Binding) -> Any:
    find = lookup(run.plan, binding.roots, collect_needs(run, run.root, binding.needs), run.id, ())
    return binding.template.render(find)


def end_value(run: Run, scope: Scope) -> Payload:
    """The value of an instance that has ended: of its one end node, or a map of those that completed; null without any."""
    ends = scope.plan.ends
    if not ends:
        return NULL
    if len(ends) == 1:
        slot = run.plan.nodes[ends[0]].slot
        return scope.output(slot) if scope.cells[slot] == COMPLETED else NULL
    nodes = [run.plan.nodes[index] for index in ends]
    return payloads.pack_map([(node.id, scope.output(node.slot)) for node in nodes if scope.cells[node.slot] == COMPLETED])


def error_payload(error: Error) -> Payload:
    return payloads.encode(error.as_value())
