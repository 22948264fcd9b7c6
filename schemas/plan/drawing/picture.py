"""A picture: a plan in the author's terms, as figures, arrows and nested boxes, before any format is chosen.

What the compiler added is taken out again: a loop that was closed by an edge has no head of its own here, its arrow leads
back to the node that the author named. Bodies of loops and splits, and try and parallel scopes, are boxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...flow.node_types import Kind
from ..plan import NONE, ROOT, EdgeKind, Plan, PlanEdge, PlanNode
from .captions import gist, guard_caption, marks, policies, trigger_caption

TRIGGER = "trigger"
FLOW = ""
"""The key of what is in no box."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A node or a trigger. `kind` is `trigger` or the node's kind in lower case; `box` the innermost box around it."""

    id: str
    type: str
    kind: str
    gist: str = ""
    policies: tuple[str, ...] = ()
    box: str = FLOW


@dataclass(frozen=True, slots=True)
class Arrow:
    """`source` is a figure's id, or with kind `error` the key of the box that failed."""

    source: str
    port: str
    target: str
    kind: str = "forward"  # forward, back, error, undo
    condition: str | None = None


@dataclass(frozen=True, slots=True)
class Box:
    key: str
    caption: str
    parent: str = FLOW


@dataclass(frozen=True, slots=True)
class Picture:
    title: str
    figures: tuple[Figure, ...]
    arrows: tuple[Arrow, ...]
    boxes: tuple[Box, ...]


def paint(plan: Plan) -> Picture:
    return Picture(f"{plan.name} {plan.version}", tuple(_figures(plan)), tuple(_arrows(plan)), tuple(_boxes(plan)))


def _figures(plan: Plan) -> Iterator[Figure]:
    for trigger in plan.triggers:
        yield Figure(trigger.id, trigger.type, TRIGGER, trigger_caption(trigger))
    for node in plan.nodes:
        if not node.hidden:
            remarks = (*marks(plan, node), *policies(plan, node))
            yield Figure(node.id, node.type, node.kind.name.lower(), gist(node), remarks, _box_of(plan, node))


def _arrows(plan: Plan) -> Iterator[Arrow]:
    for edge in plan.edges:
        if arrow := _arrow(plan, edge):
            yield arrow
    for node in plan.nodes:
        if node.compensate != NONE:
            yield Arrow(node.id, "compensate", plan.nodes[node.compensate].id, "undo")


def _arrow(plan: Plan, edge: PlanEdge) -> Arrow | None:
    target = _shown(plan, plan.nodes[edge.target]).id
    if edge.kind == EdgeKind.GUARD:
        return Arrow(_guard_key(plan, edge.guard), edge.port, target, "error", edge.condition_text)
    if edge.trigger is not None:
        return Arrow(edge.trigger, edge.port, target, "forward", edge.condition_text)
    if edge.source == NONE or plan.nodes[edge.source].hidden:
        return None
    kind = "back" if edge.kind == EdgeKind.BACK else "forward"
    return Arrow(plan.nodes[edge.source].id, edge.port, target, kind, edge.condition_text)


def _boxes(plan: Plan) -> Iterator[Box]:
    for scope in plan.scopes[1:]:
        owner = plan.nodes[scope.owner]
        word = "each round" if owner.kind == Kind.LOOP else "each item"
        caption = f"{word} of {_shown(plan, owner).id}" + (f" ({gist(owner)})" if owner.hidden else "")
        yield Box(_scope_key(plan, scope.index), caption, _box_of(plan, owner))
    for guard in plan.guards:
        parent = _guard_key(plan, guard.parent) if guard.parent != NONE else _scope_key(plan, guard.scope)
        yield Box(_guard_key(plan, guard.index), f"{guard.id}: {guard_caption(plan, guard)}", parent)


def _box_of(plan: Plan, node: PlanNode) -> str:
    return _guard_key(plan, node.guard) if node.guard != NONE else _scope_key(plan, node.scope)


def _scope_key(plan: Plan, scope: int) -> str:
    return FLOW if scope == ROOT else f"body {plan.nodes[plan.scopes[scope].owner].id}"


def _guard_key(plan: Plan, guard: int) -> str:
    return f"scope {plan.guards[guard].id}"


def _shown(plan: Plan, node: PlanNode) -> PlanNode:
    """The node that stands for this one: of a hidden loop head the node that its body begins with."""
    while node.hidden:
        node = plan.nodes[next(edge.target for edge in plan.edges if edge.source == node.index)]
    return node
