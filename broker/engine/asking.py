"""Asking: what a run waits for from outside, and what it would say to a signal. Both only read.

asks(run)              everything that it asks people and programs for, as the effects by which it asked
refusal(run, signal)   why it would not take a signal; "" if it would, now or once it waits for it
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ...schemas.effects import Await
from ...schemas.flow.block import is_template
from ...schemas.flow.node_types import Kind
from ...schemas.plan.plan import PlanNode
from ...schemas.records import SignalReceived
from ...schemas.ref import ValueElsewhere
from .answers import misfit
from .inspection import key
from .state import Run, Scope
from .waits import APPROVAL, asked, wait_of, waiting_for

Ask: TypeAlias = tuple[str, PlanNode, Await]
"""The activation's name, its node, and what it asks for."""


def asks(run: Run, kind: str) -> Iterator[Ask]:
    """What the run waits for of that kind (approval, signal, event), in the order in which it began to."""
    rare = run.rare_
    addresses = [address for (of, _), waiting in rare.awaiting.items() if of == kind for address in waiting] if rare is not None else []
    found = [place for address in addresses if (place := run.find(address)) is not None]
    for scope, node in sorted(found, key=_since):
        wait = wait_of(scope, node)
        if wait is not None:
            timers = (scope.more.timers if scope.more is not None else None) or {}
            yield key(node, scope), node, _readable(run, scope, node, timers.get((node.slot, "wait")))


def _since(place: tuple[Scope, PlanNode]) -> int:
    wait = wait_of(*place)
    return 0 if wait is None else wait.since


def _readable(run: Run, scope: Scope, node: PlanNode, due: int | None) -> Await:
    wait = wait_of(scope, node)
    assert wait is not None
    try:
        return asked(run, scope, node, wait, due)
    except ValueElsewhere:  # a value that it was asked with has been made again since, and is large now
        return Await(run.id, (node.index, *scope.path()), wait.kind, wait.name, due=due, wait=wait.since)


def awaits_any(run: Run, kind: str) -> bool:
    """Whether the run waits for anything of that kind."""
    return run.rare_ is not None and any(of == kind for of, _ in run.rare_.awaiting)


def refusal(run: Run, signal: SignalReceived) -> str:
    """Why the run would not take this signal or answer."""
    waiting = [(node, wait) for _, node, wait in waiting_for(run, signal.name) if signal.wait in (0, wait.since)]
    if signal.wait and not waiting:
        return f"it waits for {signal.name!r} no more"
    nodes = [node for node, _ in waiting] or [node for node in run.plan.nodes if _is_named(node, signal.name)]
    why = ""
    for node in nodes:
        why = misfit(node.config, signal.payload)
        if not why:
            return ""
    return why and f"{_called(nodes[-1])} {signal.name!r}: {why}"


def _is_named(node: PlanNode, name: str) -> bool:
    """Whether a node that does not wait yet will, for sure, under this name."""
    if node.kind != Kind.WAIT:
        return False
    written = node.config.hook_id or node.config.signal
    return written == name and not is_template(written)


def _called(node: PlanNode) -> str:
    return APPROVAL if node.config.hook_id is not None else "signal"
