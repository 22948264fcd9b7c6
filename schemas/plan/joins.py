"""Scopes as the ends of edges: where an edge to a scope enters it, and what an edge from a scope waits for.

An edge to a scope leads to each of its nodes that nothing inside leads to. An edge from a scope comes from a merge of the scope's name,
which the compiler adds: it joins every port, `error` apart, from which no edge leads on inside the scope. Back-edges count as
leading on; what stands in the body of a loop or split is represented by that loop or split.
"""

from __future__ import annotations

from ..flow.node_types import Kind
from .draft import ERROR, Draft, DraftEdge
from .loops import mark_returns, reach
from .plan import NONE, EdgeKind

BODY_PORT = {Kind.LOOP: "continue", Kind.SPLIT: "item"}


def resolve_scopes(draft: Draft) -> None:
    """Draw the edges to and from scopes, and note which nodes handle the errors of which."""
    _note_handlers(draft)
    mark_returns(draft)
    _enter_scopes(draft)
    _note_handlers(draft)
    mark_returns(draft)
    _join_ends(draft)


def _note_handlers(draft: Draft) -> None:
    draft.handlers = {}
    for edge in draft.edges:
        if edge.guard is not None:
            for member in draft.members(edge.guard):
                draft.handlers.setdefault(member, []).append(edge.target)


def _enter_scopes(draft: Draft) -> None:
    """Draw the edges that lead to scopes, inner scopes first: an edge from one inner scope to another is inside the outer one."""
    for edge in sorted(draft.to_scopes, key=lambda edge: len(draft.members(edge.scope or ""))):
        assert edge.scope is not None
        entries = _entries(draft, edge.scope)
        if not entries:
            message = f"scope {edge.scope!r} has no node to begin with: inside it something leads to each of its nodes"
            draft.report("INVALID_SCOPE", message, ("edges", edge.declared, "to"), "let the edge lead to a node of it")
        for target in entries:
            draft.add_edge(edge.to(target))


def _join_ends(draft: Draft) -> None:
    """Draw the edges from the ends of each scope to its join."""
    for name in sorted(draft.joins, key=lambda name: len(draft.members(name))):
        join = draft.joins[name]
        inside = _inside(draft, name)
        for index in sorted(inside - _in_bodies(draft, inside)):
            _join_ports(draft, index, inside, join)
        if not draft.nodes[join].ins:
            message = f"scope {name!r} has no end: every way in it leads on inside"
            draft.report("INVALID_SCOPE", message, ("scopes", name, "nodes"), "let the edge come from a node of it")


def inner_scopes(draft: Draft, name: str) -> set[str]:
    """The scopes inside a scope, at any depth."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for inner in draft.flow.scopes[waiting.pop()].nodes:
            if inner in draft.flow.scopes and inner not in found:
                found.add(inner)
                waiting.append(inner)
    return found


def _inside(draft: Draft, name: str) -> set[int]:
    """The nodes of a scope, and the joins of the scopes inside it."""
    joins = {draft.joins[inner] for inner in inner_scopes(draft, name) if inner in draft.joins}
    return set(draft.members(name)) | joins


def _entries(draft: Draft, name: str) -> list[int]:
    inside, inner = _inside(draft, name), inner_scopes(draft, name)
    return [
        index
        for index in draft.members(name)
        if draft.nodes[index].compensates == NONE
        and not any(edge.kind != EdgeKind.BACK and (edge.source in inside or edge.guard in inner) for edge in draft.nodes[index].ins)
    ]


def _join_ports(draft: Draft, index: int, inside: set[int], join: int) -> None:
    node = draft.nodes[index]
    if node.compensates != NONE:
        return
    onward = {edge.port for edge in node.outs if edge.target in inside}
    for port in node.ports:
        if port not in onward and port != ERROR and port != BODY_PORT.get(node.kind):
            draft.add_edge(DraftEdge(index, port, join, label=node.id))


def _in_bodies(draft: Draft, inside: set[int]) -> set[int]:
    """Those that can only be reached through the body port of a loop or split in the scope."""
    found: set[int] = set()
    start = [node.index for node in draft.nodes if not any(edge.source != NONE or edge.guard is not None for edge in node.ins)]
    for owner in (draft.nodes[index] for index in inside if draft.nodes[index].kind in BODY_PORT):
        port = BODY_PORT[owner.kind]
        others = [edge.target for edge in owner.outs if edge.port != port and edge.kind != EdgeKind.BACK]
        outside = reach(draft, start + others, without={owner.index}) | reach(draft, others)
        body = reach(draft, [edge.target for edge in owner.outs if edge.port == port], without={owner.index})
        found |= body - outside
    return found
