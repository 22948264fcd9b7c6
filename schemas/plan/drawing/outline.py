"""The outline: a plan drawn as lines of text, readable in any terminal.

A node stands below the node that it follows. Where the ways part, each way is indented below its port; where they meet
again, the line goes on at the level where they parted, and says which ends it joins:

    validate         std::log
    risky            std::switch  amount > 100
    +- true
    |  flag          std::log
    |  -> meet
    +- false -> meet
    meet             std::merge    all  <- flag, risky.false

A body that is repeated has `:` as its margin instead of `|`. The levels are the dominator tree of the graph without its
back-edges: a node stands where every way to it has passed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from ...flow.node_types import Kind
from ..plan import NONE, EdgeKind, Plan, PlanEdge, PlanNode
from .captions import gist, guard_caption, marks, policies, trigger_caption

NAME_WIDTH_MAX = 44
"""Columns that names may take before the types lose their common column."""

BODY_PORTS = {Kind.LOOP: "continue", Kind.SPLIT: "item"}
REPEATED = {Kind.LOOP: "each round", Kind.SPLIT: "each item"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line: where it stands, what it is called, and its further columns."""

    name: str
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """A node that is still to be drawn, with the margin to its left. `follows`: the line above is where it comes from."""

    node: int
    margin: str
    follows: bool = False


Item: TypeAlias = Row | Place


def outline(plan: Plan) -> str:
    """The whole drawing: title, triggers, the graph, then what would make its lines too long."""
    rows = list(_Graph(plan).rows())
    parts = [f"{plan.name} {plan.version}", _table(_triggers(plan)), _table(rows)]
    surrounded = [Row(node.id, (node.type, ", ".join(policies(plan, node)))) for node in plan.nodes if not node.hidden]
    parts.append(_section("policies", [row for row in surrounded if row.columns[1]]))
    parts.append(_section("scopes", [Row(guard.id, (guard_caption(plan, guard),)) for guard in plan.guards]))
    return "\n\n".join(filter(None, parts))


def _triggers(plan: Plan) -> list[Row]:
    targets = {
        trigger.id: ", ".join(_name(plan.nodes[edge.target]) for edge in plan.edges if edge.trigger == trigger.id)
        for trigger in plan.triggers
    }
    return [Row(f"> {t.id}", (t.type, trigger_caption(t), f"-> {targets[t.id]}" if targets[t.id] else "")) for t in plan.triggers]


def _section(title: str, rows: list[Row]) -> str:
    return f"{title}\n{_table([Row('  ' + row.name, row.columns) for row in rows])}" if rows else ""


def _table(rows: list[Row]) -> str:
    """The rows with their first two columns aligned; long names push only their own line."""
    named = [row for row in rows if row.columns]
    width = min(max((len(row.name) for row in named), default=0), NAME_WIDTH_MAX)
    second = max((len(row.columns[0]) for row in named), default=0)
    return "\n".join(_line(row, width, second) for row in rows)


def _line(row: Row, width: int, second: int) -> str:
    if not row.columns:
        return row.name
    first, *rest = row.columns
    return "  ".join([row.name.ljust(width), first.ljust(second), *filter(None, rest)]).rstrip()


class _Graph:
    """The plan's forward edges, who stands below whom, and the drawing of it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.drawn = [node.index for node in plan.nodes if node.compensates == NONE]
        self.below: dict[int, list[int]] = {}
        for index, above in self._dominators().items():
            self.below.setdefault(above, []).append(index)
        self.ways: dict[int, list[PlanEdge]] = {}
        for edge in plan.edges:
            self.ways.setdefault(self._way_from(edge), []).append(edge)

    def rows(self) -> Iterator[Row]:
        """Depth first with a stack of its own: a long flow must not end in a recursion limit."""
        pending: list[Item] = [Place(index, "") for index in reversed(self.below.get(NONE, []))]
        while pending:
            item = pending.pop()
            if isinstance(item, Row):
                yield item
            else:
                pending += reversed(list(self._unfold(self.plan.nodes[item.node], item)))

    def _unfold(self, node: PlanNode, place: Place) -> Iterator[Item]:
        """The node's own line, its ways, and then what stands on its level behind them."""
        margin = place.margin
        yield self._node_row(node, place)
        ways = self.ways.get(node.index, [])
        below = self.below.get(node.index, [])
        heads = {edge.target for edge in ways if edge.target in below and len(self.plan.nodes[edge.target].ins) == 1}
        follows_plainly = len(ways) == 1 and not self._way_label(ways[0])
        for edge in ways:
            if follows_plainly:
                yield Place(edge.target, margin, follows=True) if edge.target in heads else Row(f"{margin}{self._reference(edge)}")
            else:
                yield from self._branch(node, edge, margin, edge.target in heads)
        yield from (Place(index, margin) for index in below if index not in heads)

    def _branch(self, node: PlanNode, edge: PlanEdge, margin: str, is_head: bool) -> Iterator[Item]:
        repeated = edge.kind == EdgeKind.ENTRY and edge.port == BODY_PORTS.get(node.kind)
        label = (self._way_label(edge) or edge.port) + (f": {REPEATED[node.kind]}" if repeated else "")
        if is_head:
            yield Row(f"{margin}+- {label}")
            yield Place(edge.target, margin + (":  " if repeated else "|  "), follows=True)
        else:
            yield Row(f"{margin}+- {label} {self._reference(edge)}")

    def _node_row(self, node: PlanNode, place: Place) -> Row:
        origins = "" if place.follows else ", ".join(map(self._origin, node.ins))
        arrival = f"<- {origins}" if origins else ""
        if node.hidden:
            return Row(f"{place.margin}(loop)", ("", gist(node), arrival))
        remarks = ", ".join(marks(self.plan, node))
        return Row(place.margin + node.id, (node.type, gist(node), arrival, f"[{remarks}]" if remarks else ""))

    def _origin(self, edge: PlanEdge) -> str:
        if edge.guard != NONE:
            return f"{self.plan.guards[edge.guard].id} fails"
        if edge.source == NONE:
            return edge.trigger or "start"
        name = _name(self.plan.nodes[edge.source])
        return name if edge.port == "out" else f"{name}.{edge.port}"

    def _reference(self, edge: PlanEdge) -> str:
        return f"{'^-' if edge.kind == EdgeKind.BACK else '->'} {_name(self.plan.nodes[edge.target])}"

    def _way_label(self, edge: PlanEdge) -> str:
        """What must be said about a way: its port unless that is `out`, and its condition."""
        port = f"{self.plan.guards[edge.guard].id} fails" if edge.guard != NONE else "" if edge.port == "out" else edge.port
        return " ".join(filter(None, [port, f"if {edge.condition_text}" if edge.condition_text else ""]))

    def _way_from(self, edge: PlanEdge) -> int:
        """The node under which an edge is drawn: of a failing scope its only node, if it has but one."""
        members = self.plan.guards[edge.guard].members if edge.guard != NONE else ()
        return members[0] if len(members) == 1 else edge.source

    def _dominators(self) -> dict[int, int]:
        """For each node the nearest one that every way to it passes; NONE if there is none. In topological order."""
        sources: list[set[int]] = [set() for _ in self.plan.nodes]
        for edge in self.plan.edges:
            if edge.kind != EdgeKind.BACK:
                sources[edge.target] |= self._sources(edge)
        above: dict[int, int] = {}
        depth = {NONE: -1}
        for index in self._topological(sources):
            above[index] = _lowest_common(sources[index], above, depth)
            depth[index] = depth[above[index]] + 1
        return above

    def _sources(self, edge: PlanEdge) -> set[int]:
        """Where an edge comes from on the level of its target: an edge out of a body comes from the body's owner."""
        if edge.guard != NONE:
            return set(self.plan.guards[edge.guard].members)
        source = edge.source
        while edge.kind == EdgeKind.EXIT and self.plan.nodes[source].scope != edge.home:
            source = self.plan.scopes[self.plan.nodes[source].scope].owner
        return {source}

    def _topological(self, sources: list[set[int]]) -> list[int]:
        missing = {index: len(sources[index] - {NONE}) for index in self.drawn}
        targets: dict[int, list[int]] = {}
        for index in self.drawn:
            for source in sources[index]:
                targets.setdefault(source, []).append(index)
        order = [index for index in self.drawn if missing[index] == 0]
        for index in order:
            for target in targets.get(index, ()):
                missing[target] -= 1
                if missing[target] == 0:
                    order.append(target)
        return order


def _lowest_common(sources: set[int], above: dict[int, int], depth: dict[int, int]) -> int:
    """The lowest node above or at all the sources, NONE if they have none in common."""
    found, *others = sources or {NONE}
    for other in others:
        while found != other:
            if depth[found] >= depth[other]:
                found = above[found]
            else:
                other = above[other]
    return found


def _name(node: PlanNode) -> str:
    """What the author calls the node; a hidden loop head goes by the name of the node that it was put before."""
    return node.id.removesuffix("~") if node.hidden else node.id
