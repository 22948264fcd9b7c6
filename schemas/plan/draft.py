"""The draft: nodes and edges of a flow as a graph of integers, while the compiler works on it.

`draw` resolves what the author wrote (names, ports, aliases, scopes as ends of edges) and reports every name and port that does
not exist. The later passes (`loops`, `regions`, `guards`) change the draft; `assembly` freezes it into a Plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches

from ..conditions import Condition, parse_condition
from ..errors import ConditionError
from ..flow.definition import AtLeast, Flow, Node, Scope
from ..flow.node_types import NODE_TYPES, Kind, NodeType, node_type
from ..flow.problems import Path, Problem
from .plan import NONE, EdgeKind

ERROR = "error"
PORT_DEFAULT = "out"


@dataclass(slots=True)
class DraftNode:
    index: int
    id: str
    type: str
    kind: Kind
    ports: list[str]
    open_ports: bool = False  # a type nobody described: any port may exist
    aliases: Mapping[str, str] = field(default_factory=dict)
    definition: Node | None = None
    program: object = None  # set for nodes that the compiler adds
    hidden: bool = False
    compensates: int = NONE
    ins: list[DraftEdge] = field(default_factory=list)
    outs: list[DraftEdge] = field(default_factory=list)

    def port(self, name: str) -> str | None:
        """The declared name of a port, None if the node has no such port."""
        if name in self.ports:
            return name
        if name in self.aliases:
            return self.aliases[name]
        if self.open_ports:
            self.ports.append(name)
            return name
        return None


@dataclass(slots=True, eq=False)
class DraftEdge:
    source: int
    port: str
    target: int
    kind: EdgeKind = EdgeKind.FORWARD
    trigger: str | None = None
    guard: str | None = None
    condition: Condition | None = None
    condition_text: str | None = None
    declared: int = NONE
    label: str = ""
    scope: str | None = None  # it leads to this scope; to which node is still to be found

    def to(self, target: int) -> DraftEdge:
        """The same edge, to a node."""
        return replace(self, target=target, scope=None)


@dataclass(slots=True)
class Draft:
    flow: Flow
    nodes: list[DraftNode] = field(default_factory=list)
    edges: list[DraftEdge] = field(default_factory=list)
    by_id: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    joins: dict[str, int] = field(default_factory=dict)  # scope → the merge that stands for its end
    to_scopes: list[DraftEdge] = field(default_factory=list)
    handlers: dict[int, list[int]] = field(default_factory=dict)  # node → what its scopes' failures lead to

    def report(self, code: str, message: str, path: Path, hint: str = "", warning: bool = False) -> None:
        self.problems.append(Problem(code, message, path, hint, "warning" if warning else "error"))

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.problems)

    def add_node(self, id: str, kind: Kind, type: str, ports: Iterable[str]) -> DraftNode:
        node = DraftNode(len(self.nodes), id, type, kind, [*ports, ERROR])
        self.nodes.append(node)
        self.by_id[id] = node.index
        return node

    def add_edge(self, edge: DraftEdge) -> None:
        self.edges.append(edge)
        self.nodes[edge.target].ins.append(edge)
        if edge.source != NONE:
            self.nodes[edge.source].outs.append(edge)

    def forward(self, index: int) -> list[int]:
        """What can run because a node ended: its edges' targets (back-edges left out) and its scopes' error handlers."""
        targets = [edge.target for edge in self.nodes[index].outs if edge.kind != EdgeKind.BACK]
        return targets + self.handlers.get(index, [])

    def members(self, scope: str) -> list[int]:
        """The nodes of a scope and of the scopes inside it, in declared order."""
        found: dict[int, None] = {}
        waiting, seen = [scope], {scope}
        while waiting:
            for name in self.flow.scopes[waiting.pop()].nodes:
                if name in self.flow.scopes:
                    if name not in seen:
                        seen.add(name)
                        waiting.append(name)
                elif name in self.by_id:
                    found[self.by_id[name]] = None
        return sorted(found)


def draw(flow: Flow, known_types: Mapping[str, NodeType] | None) -> Draft:
    """The flow's graph. Edges with an end that does not exist are reported and left out."""
    draft = Draft(flow)
    for id, definition in flow.nodes.items():
        _add(draft, id, definition, known_types)
    _compensations(draft)
    draft.joins = joins = _joins(draft)
    seen: dict[object, int] = {}
    for number, edge in enumerate(flow.edges):
        found = _edges(draft, number, edge.from_, edge.to, joins)
        for drawn in found:
            drawn.scope = _split(edge.to)[0] if drawn.target == NONE else None
            drawn.condition_text = edge.condition
            drawn.condition = _condition(draft, number, edge.condition)
            if edge.loop_back:
                drawn.kind = EdgeKind.BACK
            if drawn.scope is None:
                draft.add_edge(drawn)
            elif edge.loop_back:
                draft.report("INVALID_REFERENCE", "a loop_back edge leads to a node, not to a scope", ("edges", number, "to"))
            else:
                draft.to_scopes.append(drawn)
        _warn_of_twin(draft, number, found, seen)
    for name, scope in flow.scopes.items():
        _on_error(draft, name, scope)
    return draft


def _warn_of_twin(draft: Draft, number: int, drawn: list[DraftEdge], seen: dict[object, int]) -> None:
    """Two edges are the same if both ends are, in whichever spelling, and the condition."""
    ends = tuple((edge.source, edge.port, edge.trigger, edge.guard, edge.target, edge.scope) for edge in drawn)
    first = seen.setdefault((ends, draft.flow.edges[number].condition), number)
    if drawn and first != number:
        edge = draft.flow.edges[number]
        message = f"the edge from {edge.from_!r} to {edge.to!r} is there twice"
        draft.report("DUPLICATE_EDGE", message, ("edges", number), "remove one of the two", warning=True)


def _add(draft: Draft, id: str, definition: Node, known_types: Mapping[str, NodeType] | None) -> None:
    described = (known_types or {}).get(definition.type) or node_type(definition.type)
    if described is None:
        node = draft.add_node(id, Kind.TASK, definition.type, [PORT_DEFAULT])
        node.open_ports = True
    else:
        node = draft.add_node(id, described.kind, described.name, described.ports)
        node.aliases = described.port_aliases
    node.definition = definition


def _compensations(draft: Draft) -> None:
    for node in list(draft.nodes):
        name = node.definition.compensate if node.definition else None
        if name is None:
            continue
        path: Path = ("nodes", node.id, "compensate")
        target = draft.by_id.get(name)
        if target is None:
            draft.report("INVALID_REFERENCE", f"no node is called {name!r}", path, _nearest(name, draft.by_id))
        elif target == node.index:
            draft.report("INVALID_REFERENCE", f"node {name!r} cannot compensate itself", path)
        elif draft.nodes[target].compensates != NONE:
            other = draft.nodes[draft.nodes[target].compensates].id
            draft.report("INVALID_REFERENCE", f"{name!r} already compensates {other!r}", path, "give each its own compensation node")
        else:
            draft.nodes[target].compensates = node.index


def _joins(draft: Draft) -> dict[str, int]:
    """A merge named like the scope, for each scope that edges come from; `joins` draws the edges to it."""
    used = {_split(edge.from_)[0] for edge in draft.flow.edges if _split(edge.from_)[1] in (None, PORT_DEFAULT)}
    joins = {}
    for name, scope in draft.flow.scopes.items():
        if name in used or scope.type == "parallel":
            joins[name] = draft.add_node(name, Kind.MERGE, "std::merge", NODE_TYPES["std::merge"].ports).index
    return joins


def join_settings(scope: Scope) -> dict[str, object]:
    """The merge that a scope's completion rule stands for."""
    if scope.completion == "any":
        return {"strategy": "any", "cancel_others": True, "output": "map"}
    if isinstance(scope.completion, AtLeast):
        return {"strategy": "count", "count": scope.completion.at_least, "cancel_others": True}
    return {"strategy": "all"}


def _split(text: str) -> tuple[str, str | None]:
    name, dot, port = text.rpartition(".")
    return (name, port) if dot and name and port else (text, None)


def _edges(draft: Draft, number: int, from_: str, to: str, joins: dict[str, int]) -> list[DraftEdge]:
    targets = _targets(draft, number, to)
    flow = draft.flow
    name, port = _split(from_)
    path: Path = ("edges", number, "from")
    if any(trigger.id == name for trigger in flow.triggers):
        if port not in (None, PORT_DEFAULT):
            draft.report("UNKNOWN_PORT", f"trigger {name!r} has no port {port!r}", path, "a trigger has the one port `out`")
            return []
        return [DraftEdge(NONE, PORT_DEFAULT, target, EdgeKind.ENTRY, trigger=name, declared=number, label=name) for target in targets]
    if name in flow.scopes:
        if port == ERROR:
            return [DraftEdge(NONE, ERROR, target, EdgeKind.GUARD, guard=name, declared=number, label=name) for target in targets]
        if port not in (None, PORT_DEFAULT):
            draft.report("UNKNOWN_PORT", f"scope {name!r} has no port {port!r}", path, "a scope has the ports `out` and `error`")
            return []
        return [DraftEdge(joins[name], PORT_DEFAULT, target, declared=number, label=name) for target in targets]
    if name not in draft.by_id:
        draft.report("INVALID_REFERENCE", f"no node, trigger or scope is called {name!r}", path, _nearest(name, _names(draft)))
        return []
    node = draft.nodes[draft.by_id[name]]
    if node.compensates != NONE:
        other = draft.nodes[node.compensates].id
        draft.report("INVALID_REFERENCE", f"{name!r} compensates {other!r}, so no edge can come from it", path)
        return []
    resolved = node.port(port or PORT_DEFAULT)
    if resolved is None:
        known = ", ".join(node.ports)
        what = f"node {name!r} ({node.type}) has no port {port or PORT_DEFAULT!r}"
        draft.report("UNKNOWN_PORT", what, path, f"its ports are: {known}; write e.g. `{name}.{node.ports[0]}`")
        return []
    return [DraftEdge(node.index, resolved, target, declared=number, label=name) for target in targets]


def _targets(draft: Draft, number: int, to: str) -> list[int]:
    name, port = _split(to)
    path: Path = ("edges", number, "to")
    if any(trigger.id == name for trigger in draft.flow.triggers):
        draft.report("INVALID_REFERENCE", f"{name!r} is a trigger: no edge can lead to it", path)
        return []
    if name in draft.flow.scopes:
        return [NONE]  # which of its nodes that means is known when the scope's own edges are drawn
    if name not in draft.by_id:
        draft.report("INVALID_REFERENCE", f"no node or scope is called {name!r}", path, _nearest(name, _names(draft)))
        return []
    node = draft.nodes[draft.by_id[name]]
    if port is not None and port != "in" and not _is_input(node, port):
        draft.report("UNKNOWN_PORT", f"node {name!r} ({node.type}) has no input port {port!r}", path, f"write `to: {name}`")
        return []
    if node.compensates != NONE:
        other = draft.nodes[node.compensates].id
        draft.report("INVALID_REFERENCE", f"{name!r} compensates {other!r}, so no edge can lead to it", path)
        return []
    return [node.index]


def _is_input(node: DraftNode, port: str) -> bool:
    if node.open_ports:
        return True
    return node.kind == Kind.MERGE and port.startswith("in_") and port[3:].isdigit()


def _condition(draft: Draft, number: int, text: str | None) -> Condition | None:
    if text is None:
        return None
    try:
        return parse_condition(text)
    except ConditionError as error:
        draft.report("INVALID_CONDITION", str(error), ("edges", number, "condition"), getattr(error, "hint", ""))
        return None


def _on_error(draft: Draft, name: str, scope: Scope) -> None:
    if scope.on_error is None:
        return
    path: Path = ("scopes", name, "on_error")
    target = draft.by_id.get(scope.on_error)
    if target is None:
        draft.report("INVALID_REFERENCE", f"no node is called {scope.on_error!r}", path, _nearest(scope.on_error, draft.by_id))
    elif draft.nodes[target].compensates != NONE:
        other = draft.nodes[draft.nodes[target].compensates].id
        draft.report(
            "INVALID_REFERENCE", f"{scope.on_error!r} compensates {other!r}: it cannot handle the error of scope {name!r} too", path
        )
    elif any(edge.kind != EdgeKind.GUARD for edge in draft.nodes[target].ins):
        message = f"{scope.on_error!r} handles the error of scope {name!r} but other edges lead to it"
        draft.report("INVALID_REFERENCE", message, path, "let those edges lead to the node behind it")
    elif target in draft.members(name):
        draft.report("INVALID_SCOPE", f"{scope.on_error!r} handles the error of scope {name!r} and stands inside it", path)
    else:
        draft.add_edge(DraftEdge(NONE, ERROR, target, EdgeKind.GUARD, guard=name, label=name))


def add_entries(draft: Draft) -> None:
    """Nodes that nothing leads to, but their own loop, start a run that no trigger started."""
    for node in draft.nodes:
        if node.compensates == NONE and not any(edge.kind != EdgeKind.BACK for edge in node.ins):
            draft.add_edge(DraftEdge(NONE, PORT_DEFAULT, node.index, EdgeKind.ENTRY, label="input"))


def _names(draft: Draft) -> list[str]:
    return [*draft.by_id, *(trigger.id for trigger in draft.flow.triggers), *draft.flow.scopes]


def _nearest(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, list(known), n=1)
    return f"did you mean {found[0]!r}?" if found else ""
