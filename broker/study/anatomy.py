"""Anatomy: a run as a tree, as people think of it: its nodes in the order of the flow, in loops and splits their instances with theirs.

The run has to be folded with `keep`, or the instances of bodies that have ended are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...schemas.records import Error
from ..engine import NodeView, Run, nodes
from ..engine.inspection import key
from ..engine.state import Scope

DONE = frozenset(("completed", "skipped"))


@dataclass(slots=True)
class Part:
    """A node in one instance. `error`: the last one of an activation that failed, or that is tried again."""

    node: str
    key: str
    view: NodeView
    error: Error | None
    instances: list[Instance] = field(default_factory=list)


@dataclass(slots=True)
class Instance:
    """An iteration of a loop, or an item of a split."""

    index: int
    parts: list[Part]

    @property
    def status(self) -> str:
        """failed if something in it has, running while something is open, else completed; cancelled if it was given up."""
        statuses = {each.view.status for each in _everything(self.parts)}
        if "failed" in statuses:
            return "failed"
        if statuses - DONE - {"cancelled", "pending"}:
            return "running"
        return "cancelled" if "cancelled" in statuses else "completed" if statuses <= DONE else "running"


def anatomy(run: Run) -> list[Part]:
    """The parts of the whole run."""
    return _parts(run, run.root, nodes(run))


def _parts(run: Run, scope: Scope, views: dict[str, NodeView]) -> list[Part]:
    found = []
    for index in scope.plan.nodes:
        node = run.plan.nodes[index]
        if node.hidden:
            continue
        name = key(node, scope)
        errors = (scope.more.errors if scope.more is not None else None) or {}
        part = Part(node.id, name, views[name], errors.get(node.slot))
        body = scope.body(node.slot)
        for inner in sorted(body.scopes(), key=lambda inner: inner.index) if body is not None else ():
            part.instances.append(Instance(inner.index, _parts(run, inner, views)))
        found.append(part)
    return found


def _everything(parts: list[Part]) -> Iterator[Part]:
    for part in parts:
        yield part
        for instance in part.instances:
            yield from _everything(instance.parts)
