"""Guards: try and parallel scopes as sets of nodes that fail, retry and undo as one.

A guard lies in one scope of the plan. Guards are disjoint or nested, and no way leads out of one and back in: edges that
leave it are decided when it has ended, so such a way could never be walked.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..flow.definition import AtLeast, Scope
from ..flow.problems import Path
from .draft import Draft
from .joins import inner_scopes
from .loops import reach
from .plan import NONE, EdgeKind
from .regions import Regions


@dataclass(slots=True)
class DraftGuard:
    index: int
    id: str
    definition: Scope
    scope: int
    members: list[int]
    parent: int = NONE
    depth: int = 0


@dataclass(slots=True)
class Guards:
    all: list[DraftGuard]
    innermost: list[int]  # guard of each node

    def chain(self, guard: int) -> list[int]:
        """The guard and those around it, innermost first."""
        found = []
        while guard != NONE:
            found.append(guard)
            guard = self.all[guard].parent
        return found


def find_guards(draft: Draft, regions: Regions) -> Guards:
    guards: list[DraftGuard] = []
    for name, definition in draft.flow.scopes.items():
        _check_names(draft, name, definition)
        members = _members(draft, regions, name)
        scopes = {regions.innermost[index] for index in members}
        path: Path = ("scopes", name, "nodes")
        if not members:
            continue
        if len(scopes) > 1:
            draft.report("INVALID_SCOPE", f"the nodes of scope {name!r} stand in different loop or split bodies", path, "guard each body")
            continue
        guards.append(DraftGuard(len(guards), name, definition, scopes.pop(), members))
    _nest(draft, guards)
    innermost = [NONE] * len(draft.nodes)
    for guard in sorted(guards, key=lambda guard: guard.depth):
        for index in guard.members:
            innermost[index] = guard.index
    result = Guards(guards, innermost)
    for guard in guards:
        _check(draft, regions, result, guard)
        _check_retries_around(draft, regions, guard)
    return result


def _check_names(draft: Draft, name: str, definition: Scope) -> None:
    for place, member in enumerate(definition.nodes):
        if member not in draft.by_id and member not in draft.flow.scopes:
            draft.report("INVALID_REFERENCE", f"no node or scope is called {member!r}", ("scopes", name, "nodes", place))
        elif member in draft.by_id and draft.nodes[draft.by_id[member]].compensates != NONE:
            message = f"{member!r} only compensates: it cannot be a member of a scope"
            draft.report("INVALID_SCOPE", message, ("scopes", name, "nodes", place))
    if definition.completion is not None and definition.type != "parallel":
        draft.report("INVALID_SCOPE", "`completion` belongs to parallel scopes", ("scopes", name, "completion"), "add `type: parallel`")
    elif isinstance(definition.completion, AtLeast):
        _check_at_least(draft, name, definition.completion.at_least)
    if isinstance(definition.compensate, list):
        members = {draft.nodes[index].id for index in draft.members(name)}
        for place, member in enumerate(definition.compensate):
            if member not in members or draft.flow.nodes[member].compensate is None:
                message = f"{member!r} is no node of this scope with a `compensate`"
                draft.report("INVALID_REFERENCE", message, ("scopes", name, "compensate", place))


def _check_at_least(draft: Draft, name: str, at_least: int) -> None:
    branches = len(draft.nodes[draft.by_id[name]].ins)
    if at_least > branches:
        message = f"`at_least` is {at_least}, but scope {name!r} has only {branches} branch{'es' * (branches != 1)}"
        draft.report("INVALID_VALUE", message, ("scopes", name, "completion", "at_least"), f"write at most {branches}")


def _members(draft: Draft, regions: Regions, name: str) -> list[int]:
    """The scope's nodes; those in a body whose loop or split is listed too are covered by it, heads and joins come along."""
    listed = draft.members(name)
    names = {name, *inner_scopes(draft, name)}
    joins = [draft.by_id[inner] for inner in names if inner in draft.by_id]
    heads = [draft.by_id[f"{draft.nodes[index].id}~"] for index in listed if f"{draft.nodes[index].id}~" in draft.by_id]
    members = {*listed, *joins, *heads}
    covered = {index for body in regions.bodies if body.owner in members for index in body.nodes}
    return sorted(members - covered)


def _nest(draft: Draft, guards: list[DraftGuard]) -> None:
    """Finds the guard directly around each: of those around it the one that has the most around itself."""
    around = [[other for other in guards if _lies_inside(draft, guard, other)] for guard in guards]
    for guard in guards:
        for other in guards[guard.index + 1 :]:
            common = set(guard.members) & set(other.members)
            if common and other not in around[guard.index] and guard not in around[other.index]:
                message = (
                    f"scopes {guard.id!r} and {other.id!r} overlap in {draft.nodes[min(common)].id!r} without one lying inside the other"
                )
                draft.report("INVALID_SCOPE", message, ("scopes", other.id, "nodes"), "nest them: list one scope in the other's nodes")
        if around[guard.index]:
            guard.parent = max(around[guard.index], key=lambda other: len(around[other.index])).index
        guard.depth = len(around[guard.index])


def _lies_inside(draft: Draft, guard: DraftGuard, other: DraftGuard) -> bool:
    """Of two with the same nodes the one that the other lists lies inside; if neither does, the one that is written later."""
    inner, outer = set(guard.members), set(other.members)
    if inner != outer or guard is other:
        return inner < outer
    return guard.id in inner_scopes(draft, other.id) or (other.id not in inner_scopes(draft, guard.id) and other.index < guard.index)


def _check_retries_around(draft: Draft, regions: Regions, guard: DraftGuard) -> None:
    """A body that starts anew has the addresses of the old one: nothing may still be undoing there."""
    if guard.definition.compensate is None:
        return
    for scope in regions.chain(guard.scope)[:-1]:
        owner = draft.nodes[regions.bodies[scope - 1].owner]
        if owner.definition is not None and owner.definition.retry is not None:
            message = f"{owner.id!r} has a `retry`, scope {guard.id!r} in its body a `compensate`: the next attempt would meet the undoing"
            hint = f"put {owner.id!r} into a scope of its own, with `retry` and `compensate` there"
            draft.report("INVALID_SCOPE", message, ("nodes", owner.id, "retry"), hint)


def _check(draft: Draft, regions: Regions, guards: Guards, guard: DraftGuard) -> None:
    members = set(guard.members)
    bodies = {index for body in regions.bodies if body.owner in members for index in body.nodes}
    inside = members | bodies
    after = [
        edge.target for index in inside for edge in draft.nodes[index].outs if edge.kind != EdgeKind.BACK and edge.target not in inside
    ]
    back_in = reach(draft, after) & members
    path: Path = ("scopes", guard.id, "nodes")
    if back_in:
        name = draft.nodes[min(back_in)].id
        message = f"a way leads out of scope {guard.id!r} and back in at {name!r}"
        draft.report("INVALID_SCOPE", message, path, "list the nodes on that way in the scope too")
    for edge in draft.edges:
        if edge.guard != guard.id:
            continue
        target = draft.nodes[edge.target]
        if regions.innermost[edge.target] != guard.scope or guards.innermost[edge.target] != guard.parent:
            where = ("scopes", guard.id, "on_error") if edge.declared < 0 else ("edges", edge.declared, "to")
            message = f"{target.id!r} handles the error of scope {guard.id!r} but does not stand directly around it"
            draft.report("INVALID_SCOPE", message, where, "move it to the scope or body that holds this one")
