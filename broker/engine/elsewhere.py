"""Elsewhere: what is said where the engine would have to look into a value that it only has a ref to.

A switch and a deep merge go to a worker then. For everything else the engine never guesses: it fails with `value_elsewhere`, which says
what looks into which value, and what to write instead.
"""

from __future__ import annotations

from ...schemas.flow.node_types import Kind
from ...schemas.plan.plan import NONE, EdgeKind, PlanEdge, PlanNode
from ...schemas.records import Error
from ...schemas.ref import Coded, Ref
from .reading import engine_lookup
from .state import Run, Scope

TYPE = "value_elsewhere"
_INSTEAD = "return what it needs as a field of its own, small enough to travel inside the payload, or raise `payloads.inline_max`"


def item_error(run: Run, scope: Scope, item: object, ref: Ref | Coded) -> Error:
    """What the engine was at has to look into the ref: a node, the end of a loop's iteration, or the end of the run."""
    if isinstance(item, PlanNode):
        return node_error(run, scope, item, ref)
    if scope.parent is None:
        return output_error(ref)
    return node_error(run, scope.parent, run.plan.nodes[scope.plan.owner], ref)


def node_error(run: Run, scope: Scope, node: PlanNode, ref: Ref | Coded) -> Error:
    """A structural node has to look into the ref; for a loop it is one of its conditions."""
    name = node.id.removesuffix("~")
    if node.kind == Kind.LOOP:
        what = " or ".join(f"`{condition}`" for condition in node.program.conditions)
        return _error(
            f"loop {name!r} asks for {what}", ref, "decide it by a std::switch in the body, with an edge back to the loop; or " + _INSTEAD
        )
    selected = _selector(run, scope, node, ref)
    return _error(f"node {name!r} has to look into {selected or 'its value'}", ref, _INSTEAD)


def edge_error(run: Run, edge: PlanEdge, ref: Ref | Coded) -> Error:
    """The condition of an edge has to look into the ref."""
    nodes = run.plan.nodes
    source = "the trigger" if edge.source == NONE else repr(nodes[edge.source].id.removesuffix("~"))
    if edge.kind == EdgeKind.GUARD:
        source = f"scope {run.plan.guards[edge.guard].id!r}"
    what = f"the edge from {source} to {nodes[edge.target].id.removesuffix('~')!r} asks for `{edge.condition}`"
    return _error(what, ref, "put a std::switch there, which a worker decides; or " + _INSTEAD)


def split_error(node: PlanNode, ref: Ref | Coded) -> Error:
    """A split's list lies elsewhere, and its ref does not know how many items it has."""
    what = f"the list at `{node.config.field or '$'}` of split {node.id!r} is not known to be one"
    return _error(what, ref, "return the list as it is, so that its ref counts its items, or raise `payloads.inline_max`")


def output_error(ref: Ref | Coded) -> Error:
    """The flow's `outputs` make a text of the ref."""
    return _error("the flow's `outputs` put a value into a text", ref, "let the selector stand alone; or " + _INSTEAD)


def _error(what: str, ref: Ref | Coded, instead: str) -> Error:
    return Error(TYPE, f"{what}, and that lies elsewhere ({ref}), where only workers read it: {instead}", False)


def _selector(run: Run, scope: Scope, node: PlanNode, ref: Ref | Coded) -> str:
    """The selector in the node's config that leads to the ref."""
    find = engine_lookup(run, scope, node)
    selectors = () if node.template is None else node.template.selectors
    return next((f"`{selector}`" for selector in selectors if find(selector) == ref), "")
