"""From a flow to its plan: the passes in order, and the freezing of their result.

    draw           names and ports                → a graph of integers
    resolve_scopes edges to and from scopes       → edges between nodes
    close_loops    cycles, back-edges, loop heads → a graph without cycles
    find_regions   the bodies of loops and splits → scopes
    find_guards    try and parallel scopes        → guards
    Needs          selectors                      → what travels with each task
    assemble       everything                     → Plan

Within a pass all problems are collected. A pass that relies on what an earlier one refused does not run; what can be said without
it (circles, names in selectors) is said all the same.

Compiling is a pure function of the flow: the same flow gives the same plan on any machine.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import InvalidFlow
from ..flow.definition import Flow
from ..flow.node_types import NodeType
from ..flow.problems import Problem
from .assembly import assemble
from .draft import Draft, draw
from .events import check_inputs
from .guards import find_guards
from .joins import resolve_scopes
from .loops import close_loops, reach, topological
from .needs import check_names
from .plan import NONE, EdgeKind, Plan
from .regions import find_regions
from .trigger_warnings import warn_of_triggers


def compile_flow(flow: Flow, known_types: Mapping[str, NodeType] | None = None) -> Plan:
    """The plan of a flow. Raises InvalidFlow with all problems that were found."""
    plan, problems = check(flow, known_types)
    if plan is None:
        raise InvalidFlow([problem for problem in problems if problem.severity == "error"])
    return plan


def check(flow: Flow, known_types: Mapping[str, NodeType] | None = None) -> tuple[Plan | None, list[Problem]]:
    """The plan, or None if there are errors; and all problems, warnings included.

    `known_types` describes own node types (ports); a type that neither it nor the catalogue knows may have any port.
    """
    draft = draw(flow, known_types)
    resolve_scopes(draft)
    close_loops(draft)
    plan = None
    if not draft.failed:
        regions = find_regions(draft)
        guards = find_guards(draft, regions)
        _warn_unreachable(draft)
        _warn_unused_triggers(draft)
        warn_of_triggers(draft)
        if not draft.failed:
            plan = assemble(draft, regions, guards, topological(draft))
    if draft.failed and plan is None:
        check_names(draft)
    draft.problems += check_inputs(flow.inputs)
    return (None if draft.failed else plan), draft.problems


def _warn_unreachable(draft: Draft) -> None:
    """In a flow with triggers only what hangs on one can ever run."""
    if not draft.flow.triggers:
        return
    reached = reach(draft, [edge.target for edge in draft.edges if edge.kind == EdgeKind.ENTRY and edge.trigger is not None])
    for node in draft.nodes:
        if node.index in reached or node.compensates != NONE or node.definition is None:
            continue
        alone = not any(edge.source != NONE for edge in node.ins) and not node.outs
        code, what = ("ORPHANED_NODE", "no edge touches") if alone else ("UNREACHABLE_NODE", "no trigger leads to")
        draft.report(code, f"{what} node {node.id!r}: it never runs", ("nodes", node.id), "add an edge, or remove it", warning=True)


def _warn_unused_triggers(draft: Draft) -> None:
    used = {edge.trigger for edge in draft.edges}
    for number, trigger in enumerate(draft.flow.triggers):
        if trigger.enabled and trigger.id not in used and draft.flow.nodes:
            message = f"no edge leads from trigger {trigger.id!r}: it starts runs in which nothing happens"
            draft.report("UNUSED_TRIGGER", message, ("triggers", number, "id"), "add an edge from it, or disable it", warning=True)
