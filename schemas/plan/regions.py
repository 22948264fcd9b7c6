"""Regions: which nodes form the body of a loop or a split.

A body is what can only be reached through the loop's `continue` or the split's `item` port (it is dominated by that port).
A split's body ends before the first merge on the way that also is reached only through it: the *closing* merge, which runs once, after
all items. Bodies are disjoint or nested. A hidden loop head (a cycle that the author closed by an edge) owns the nodes
between it and its back-edges, and nothing that merely hangs on them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..flow.node_types import Kind
from .draft import Draft, DraftNode
from .loops import reach, topological
from .plan import NONE, ROOT, EdgeKind

BODY_PORT = {Kind.LOOP: "continue", Kind.SPLIT: "item"}


@dataclass(slots=True)
class Region:
    """A body: `index` is its scope's number, `parent` the scope around it."""

    index: int
    owner: int
    nodes: set[int] = field(default_factory=set)
    closing: int = NONE
    parent: int = ROOT
    depth: int = 0


@dataclass(slots=True)
class Regions:
    bodies: list[Region]
    innermost: list[int]  # scope of each node
    parents: list[int]  # of each scope, ROOT's is NONE

    def chain(self, scope: int) -> list[int]:
        """The scope and those around it, innermost first."""
        found = []
        while scope != NONE:
            found.append(scope)
            scope = self.parents[scope]
        return found


def find_regions(draft: Draft) -> Regions:
    order = topological(draft)
    owners = [index for index in order if draft.nodes[index].kind in BODY_PORT]
    bodies: dict[int, Region] = {}
    for owner in reversed(owners):  # inner bodies first: they are units in the outer ones
        bodies[owner] = _body(draft, draft.nodes[owner], bodies)
    regions = _nest(draft, [bodies[owner] for owner in owners])
    _check_entries(draft, regions)
    return regions


def _body(draft: Draft, owner: DraftNode, inner: dict[int, Region]) -> Region:
    port = BODY_PORT[owner.kind]
    first = [edge.target for edge in owner.outs if edge.port == port]
    if owner.hidden:
        return Region(0, owner.index, _natural(draft, owner, inner))
    merges = owner.kind == Kind.SPLIT
    found, closing = _walk(draft, first, owner.index, inner, merges)
    outside = _outside(draft, owner, port)
    nodes = {index for index in found if index not in outside}
    closing = [index for index in closing if index not in outside]
    return Region(0, owner.index, nodes, closing[0] if closing else NONE)


def _walk(draft: Draft, first: list[int], owner: int, inner: dict[int, Region], stop_at_merges: bool) -> tuple[set[int], list[int]]:
    """Nodes behind `first`; an inner body is taken whole, a merge outside of one ends the walk if asked to."""
    found: set[int] = set()
    closing: dict[int, None] = {}
    closed_inside: set[int] = set()
    waiting = list(first)
    while waiting:
        index = waiting.pop(0)
        if index in found or index == owner:
            continue
        node = draft.nodes[index]
        if stop_at_merges and node.kind == Kind.MERGE and index not in closed_inside:
            closing[index] = None
            continue
        found.add(index)
        if index in inner:
            body = inner[index]
            found |= body.nodes
            closed_inside.add(body.closing)
            waiting += [target for member in body.nodes for target in draft.forward(member)]
        waiting += draft.forward(index)
    return found, [index for index in closing if index not in found]


def _outside(draft: Draft, owner: DraftNode, port: str) -> set[int]:
    """What can be reached without going through the owner's body port."""
    start = [edge.target for edge in draft.edges if edge.kind == EdgeKind.ENTRY]
    start += [edge.target for edge in owner.outs if edge.port != port and edge.kind != EdgeKind.BACK]
    start += draft.handlers.get(owner.index, [])
    return reach(draft, start, without={owner.index})


def _natural(draft: Draft, head: DraftNode, inner: dict[int, Region]) -> set[int]:
    """The nodes on the ways from a hidden head to its back-edges, with the bodies that these nodes own."""
    backwards: dict[int, list[int]] = {}
    for index in range(len(draft.nodes)):
        for target in draft.forward(index):
            backwards.setdefault(target, []).append(index)
    found: set[int] = set()
    waiting = [edge.source for edge in head.ins if edge.kind == EdgeKind.BACK]
    ahead = reach(draft, [head.index])
    while waiting:
        index = waiting.pop()
        if index not in found and index != head.index and index in ahead:
            found.add(index)
            waiting += backwards.get(index, [])
    for index in list(found):
        if index in inner:
            found |= inner[index].nodes
    return found


def _nest(draft: Draft, bodies: list[Region]) -> Regions:
    """Numbers the bodies outermost first and finds the innermost one of each node."""
    bodies.sort(key=lambda body: (-len(body.nodes), body.owner))
    innermost = [ROOT] * len(draft.nodes)
    parents = [NONE]
    for number, body in enumerate(bodies, start=1):
        body.index = number
        body.parent = innermost[body.owner]
        parents.append(body.parent)
        around = {innermost[index] for index in body.nodes}
        if around - {body.parent}:
            _overlap(draft, body)
        for index in body.nodes:
            innermost[index] = number
    for node in draft.nodes:
        if node.compensates != NONE:
            innermost[node.index] = innermost[node.compensates]
    depth = [0]
    for body in bodies:
        body.depth = depth[body.parent] + 1
        depth.append(body.depth)
    return Regions(bodies, innermost, parents)


def _overlap(draft: Draft, body: Region) -> None:
    owner = draft.nodes[body.owner]
    message = f"the body of {owner.id!r} overlaps another loop or split body without lying inside it"
    draft.report("INVALID_SCOPE", message, ("nodes", owner.id.removesuffix("~")), "let each body end before the other begins, or nest them")


def _check_entries(draft: Draft, regions: Regions) -> None:
    """Edges must not lead into the middle of a body, and a loop's return must come out of its own body."""
    by_owner = {body.owner: body for body in regions.bodies}
    for edge in draft.edges:
        body = by_owner.get(edge.target)
        path = ("edges", edge.declared) if edge.declared >= 0 else ("edges",)
        if edge.kind == EdgeKind.BACK and body is not None and edge.source not in body.nodes and edge.source != NONE:
            message = f"{draft.nodes[edge.source].id!r} leads back to the loop but can be reached without it"
            draft.report("INVALID_SCOPE", message, path, "let every way into the loop's body go through the loop")
        if edge.kind == EdgeKind.BACK:
            continue
        inside = regions.innermost[edge.target]
        around = regions.innermost[edge.source] if edge.source != NONE else _guard_scope(draft, regions, edge.guard)
        owned = edge.source != NONE and inside != ROOT and regions.bodies[inside - 1].owner == edge.source
        if not owned and inside not in regions.chain(around):
            owner = draft.nodes[regions.bodies[inside - 1].owner].id.removesuffix("~")
            message = f"this edge leads into the middle of the body of {owner!r}"
            draft.report("INVALID_SCOPE", message, path, f"lead it to {owner!r} instead")


def _guard_scope(draft: Draft, regions: Regions, guard: str | None) -> int:
    members = draft.members(guard) if guard else []
    return regions.innermost[members[0]] if members else ROOT
