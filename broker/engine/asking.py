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
from .state import Run, Scope, Wait
from .waits import APPROVAL, asked, wait_of, waiting_for

Ask: TypeAlias = tuple[str, PlanNode, Await]
"""The activation's name, its node, and what it asks for."""


def asks(run: Run, kind: str, name: str | None = None, after: int = 0) -> Iterator[Ask]:
    """What the run waits for of that kind (approval, signal, event), in the order in which it began to; what comes `after` that wait."""
    for scope, node, wait in sorted(_waiting(run, kind, name, after), key=lambda place: place[2].since):
        timers = (scope.more.timers if scope.more is not None else None) or {}
        yield key(node, scope), node, _readable(run, scope, node, wait, timers.get((node.slot, "wait")))


def is_asked(run: Run, kind: str, wait: int) -> bool:
    """Whether the run still waits for what it began to wait for as its n-th."""
    return any(each.since == wait for _, _, each in _waiting(run, kind, None, wait - 1))


def _waiting(run: Run, kind: str, name: str | None, after: int) -> Iterator[tuple[Scope, PlanNode, Wait]]:
    awaiting = run.rare_.awaiting if run.rare_ is not None else {}
    for (of, called), addresses in awaiting.items():
        for address in addresses if of == kind and name in (None, called) else ():
            found = run.find(address)
            wait = None if found is None else wait_of(*found)
            if found is not None and wait is not None and wait.since > after:
                yield *found, wait


def _readable(run: Run, scope: Scope, node: PlanNode, wait: Wait, due: int | None) -> Await:
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
