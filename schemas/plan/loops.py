"""Cycles: which edges lead back, and a loop head for every one that leads back to an ordinary node.

After this pass the graph without its back-edges has no cycle, and every back-edge ends at a loop node: either one that the
author wrote, or a hidden one in front of the node that the `loop_back` edge named.
"""

from __future__ import annotations

from itertools import pairwise

from ..flow.control_configs import MergeConfig
from ..flow.node_types import NODE_TYPES, Kind, parse_config
from .draft import Draft, DraftEdge, add_entries
from .plan import NONE, EdgeKind


def close_loops(draft: Draft) -> None:
    add_entries(draft)
    cycle = _cycle(draft)
    if cycle:
        names = " → ".join(draft.nodes[index].id for index in cycle)
        first = min((edge.declared for edge in draft.edges if _on_cycle(edge, cycle) and edge.declared >= 0), default=0)
        hint = "mark the edge that leads back with `loop_back: true`, or loop with std::loop"
        draft.report("CYCLE", f"the flow runs in a circle: {names}", ("edges", first), hint)
        return
    _check_back_edges(draft)
    if not draft.failed:
        _insert_loop_heads(draft)


def reach(draft: Draft, start: list[int], without: frozenset[int] | set[int] = frozenset()) -> set[int]:
    """All nodes that can be reached from `start` over forward edges without entering `without`."""
    found: set[int] = set()
    waiting = [index for index in start if index not in without]
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting += [target for target in draft.forward(index) if target not in without]
    return found


def topological(draft: Draft) -> list[int]:
    """Node indices so that every forward edge leads to the right; shorter than the nodes if there is a cycle."""
    missing = [0] * len(draft.nodes)
    for node in draft.nodes:
        for target in draft.forward(node.index):
            missing[target] += 1
    order = [index for index, count in enumerate(missing) if count == 0]
    for index in order:
        for target in draft.forward(index):
            missing[target] -= 1
            if missing[target] == 0:
                order.append(target)
    return order


def mark_returns(draft: Draft) -> None:
    """An edge from a loop's own body into the loop node leads back, whether or not the author said so."""
    for node in draft.nodes:
        if node.kind != Kind.LOOP:
            continue
        body = reach(draft, [edge.target for edge in node.outs if edge.port == "continue"], without={node.index})
        for edge in node.ins:
            if edge.source in body or edge.source == node.index:
                edge.kind = EdgeKind.BACK


def _cycle(draft: Draft) -> list[int]:
    """Some undeclared cycle as node indices with the first repeated at the end, or []."""
    left = set(range(len(draft.nodes))) - set(topological(draft))
    if not left:
        return []
    # Every node that is left has a predecessor that is left too: walk backwards until one repeats.
    before: dict[int, int] = {target: index for index in sorted(left) for target in draft.forward(index)}
    index, place = min(left & before.keys()), dict[int, int]()
    while index not in place:
        place[index] = len(place)
        index = before[index]
    circle = [*list(place)[place[index] :], index]
    circle.reverse()
    return circle


def _on_cycle(edge: DraftEdge, cycle: list[int]) -> bool:
    return (edge.source, edge.target) in set(pairwise(cycle)) and edge.kind != EdgeKind.BACK


def _check_back_edges(draft: Draft) -> None:
    for edge in draft.edges:
        if edge.kind == EdgeKind.BACK and (edge.source == NONE or edge.source not in reach(draft, [edge.target])):
            message = "a loop_back edge must lead back to a node that its source comes from"
            draft.report("CYCLE", message, ("edges", edge.declared, "loop_back"), "remove `loop_back: true`")
        if edge.kind == EdgeKind.BACK and _goes_with_some(draft, edge.target):
            message = f"{draft.nodes[edge.target].id!r} goes on with some of its ways: what it should wait for in later rounds is not clear"
            draft.report(
                "CYCLE", message, ("edges", edge.declared, "to"), "put an ordinary node in front of it, and let the edge lead there"
            )
    for node in draft.nodes:
        if node.kind == Kind.LOOP and not any(edge.kind == EdgeKind.BACK for edge in node.ins):
            message = f"nothing leads back to loop {node.id!r}: its body would run once"
            hint = f"add an edge from the body's last node: `{{from: …, to: {node.id}, loop_back: true}}`"
            draft.report("CYCLE", message, ("nodes", node.id), hint)


def _goes_with_some(draft: Draft, index: int) -> bool:
    """Whether the node is a merge with `any` or `count`."""
    node = draft.nodes[index]
    if node.kind != Kind.MERGE or node.definition is None or not isinstance(node.definition.config, dict):
        return False
    config = parse_config(NODE_TYPES["std::merge"], node.definition.config)
    return isinstance(config, MergeConfig) and config.strategy != "all"


def _insert_loop_heads(draft: Draft) -> None:
    heads = {edge.target for edge in draft.edges if edge.kind == EdgeKind.BACK and draft.nodes[edge.target].kind != Kind.LOOP}
    for target in sorted(heads):
        header = draft.nodes[target]
        head = draft.add_node(f"{header.id}~", Kind.LOOP, "std::loop", ("continue", "exit"))
        head.hidden = True
        moved, header.ins = header.ins, []
        for edge in moved:
            edge.target = head.index
            head.ins.append(edge)
        entry = DraftEdge(head.index, "continue", target, label=_label(moved))
        draft.add_edge(entry)


def _label(edges: list[DraftEdge]) -> str:
    forward = [edge.label for edge in edges if edge.kind != EdgeKind.BACK]
    return forward[0] if len(forward) == 1 else "input"
