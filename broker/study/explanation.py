"""Explanation: a run in plain sentences. What started it, what each node did or why it did nothing, how it ended or what it waits for.

Everything follows from the plan and the journal; `now_ms` only tells how long waits still take.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ...schemas.flow.node_types import Kind
from ...schemas.plan.drawing.captions import gist
from ...schemas.plan.plan import NONE, PlanNode
from ...schemas.records import CancelRequested, Completion, Error
from ..engine import NodeView, blocked_on
from ..engine.inspection import key
from ..engine.state import CANCELLED, FAILED, PENDING, SKIPPED, Scope
from .deadness import why_skipped
from .moving import Move, move
from .studied import Studied
from .words import in_words, span

TOLD_IN_FULL = 3
"""Of a node in the body of a loop or split: more instances than this are counted, and only so many that failed are told."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a run waits for, and what would end that."""

    what: str
    move: Move


@dataclass(frozen=True, slots=True)
class Explanation:
    """`nodes`: a sentence or more for each node, in the order of the flow. `waits` is empty once the run has ended."""

    run: str
    status: str
    beginning: tuple[str, ...]
    nodes: tuple[str, ...]
    end: tuple[str, ...]
    waits: tuple[Waiting, ...]

    @property
    def sentences(self) -> tuple[str, ...]:
        waits = [f"It waits: {wait.what}. It goes on when {wait.move}" for wait in self.waits]
        return (*self.beginning, *self.nodes, *self.end, *waits)


def explain(run: Studied, now_ms: int) -> Explanation:
    """Tell a run."""
    waits = tuple(Waiting(in_words(wait, now_ms), move(run.state, wait)) for wait in blocked_on(run.state))
    return Explanation(run.id, run.status, tuple(_beginning(run)), tuple(_nodes(run)), tuple(_end(run, now_ms)), waits)


def _beginning(run: Studied) -> Iterator[str]:
    started, plan = run.started, run.plan
    trigger = None if started.trigger is None else plan.trigger(started.trigger)
    if started.parent is not None:
        by = f"as a sub-flow, by run {started.parent[0]}"
    elif started.trigger is not None:
        by = f"by trigger {started.trigger}" + (f" ({trigger.type})" if trigger is not None else "")
    else:
        by = "without a trigger"
    yield f"Run {run.id} of flow {plan.name}, version {plan.version} ({plan.digest[:12]}), was started {by} at {moment(started.at)}."
    for number, record in run.reopenings:
        came = f"It came of run {record.source}" if record.source else "It was tried again"
        reason = f", because: {record.reason}" if record.reason else ""
        yield f"{came} at {moment(record.at)} (record {number}): {len(record.dropped)} of {record.after} records no longer count{reason}."


def _nodes(run: Studied) -> Iterator[str]:
    instances: dict[int, list[Scope]] = {}
    for scope in run.state.scopes():
        instances.setdefault(scope.plan.index, []).append(scope)
    for node in run.plan.nodes:
        if node.hidden:
            continue
        scopes = sorted(instances.get(node.scope, []), key=Scope.path)
        if len(scopes) > TOLD_IN_FULL:
            yield from _many(run, node, scopes)
        else:
            yield from (said for scope in scopes for said in _one(run, scope, node))
        if not scopes:
            yield f"{node.id} had nothing to do: the body of {run.plan.nodes[run.plan.scopes[node.scope].owner].id} never began."


def _many(run: Studied, node: PlanNode, scopes: list[Scope]) -> Iterator[str]:
    counts = Counter(run.nodes[key(node, scope)].status for scope in scopes)
    yield f"{node.id}, {len(scopes):,} times: {', '.join(f'{count:,} {status}' for status, count in counts.items())}."
    failed = [scope for scope in scopes if scope.cells[node.slot] == FAILED]
    for scope in failed[:TOLD_IN_FULL]:
        yield from _one(run, scope, node)
    if len(failed) > TOLD_IN_FULL:
        yield f"{len(failed) - TOLD_IN_FULL:,} more of {node.id} failed."


def _one(run: Studied, scope: Scope, node: PlanNode) -> Iterator[str]:
    name = key(node, scope)
    view, status = run.nodes[name], scope.cells[node.slot]
    if node.compensates != NONE and view.status in ("pending", "skipped"):
        return  # nothing had to be undone
    if status == SKIPPED:
        why = why_skipped(run.state, scope, node)
        yield f"{name} was skipped: {'; '.join(why) or 'no way led to it'}."
    elif status == FAILED:
        yield from _failed(run, scope, node)
    elif status == CANCELLED:
        yield f"{name} was cancelled{_after(run, name)}: the run, or a scope around it, needed it no more."
    elif status == PENDING:
        yield f"{name} {'was never reached' if run.state.ended else 'has not been reached yet'}."
    elif view.status == "completed":
        undoes = f"undid {run.plan.nodes[node.compensates].id}" if node.compensates != NONE else "completed"
        yield f"{name} {undoes}{_after(run, name)}{_chose(node, view)}{_attempts(run, scope, node, view)}."
    else:
        yield f"{name} is {view.status}{_attempts(run, scope, node, view)}."


def _failed(run: Studied, scope: Scope, node: PlanNode) -> Iterator[str]:
    name = key(node, scope)
    error = _last_error(run, scope, node)
    what = f": {error.type}: {error.message}" if error is not None else ""
    attempts = run.nodes[name].attempts
    tries = f", at the last of {attempts} attempts" if attempts > 1 else ""
    ways = [edge for edges in node.outs for edge in edges if edge.port == "error"]
    if ways:
        then = f" Its error edge led to {', '.join(run.plan.nodes[edge.target].id for edge in ways)}."
    elif node.guard != NONE:
        then = f" So {run.plan.guards[node.guard].id} around it failed."
    elif scope.parent is not None:
        then = f" So this part of {run.plan.nodes[scope.plan.owner].id} failed."
    else:
        then = " Nothing catches that, so the run fails."
    yield f"{name} failed{_after(run, name)}{tries}{what}.{then}"


def _last_error(run: Studied, scope: Scope, node: PlanNode) -> Error | None:
    errors = None if scope.more is None else scope.more.errors
    if errors and node.slot in errors:
        return errors[node.slot]
    address = (node.index, *scope.path())
    for record in reversed(run.journal):
        if isinstance(record, Completion) and record.activation == address and record.error is not None:
            return record.error
    return run.state.error if run.state.error is not None and run.state.error.node == node.id else None


def _after(run: Studied, name: str) -> str:
    took = run.took_ms(name)
    return f" after {span(took)}" if took else ""


def _chose(node: PlanNode, view: NodeView) -> str:
    if node.kind == Kind.SWITCH:
        return f" and chose {view.port} ({gist(node)})"
    return f" by {view.port}" if len(node.ports) > 2 and view.port not in (None, "out") else ""


def _attempts(run: Studied, scope: Scope, node: PlanNode, view: NodeView) -> str:
    if view.attempts < 2:
        return ""
    address = (node.index, *scope.path())
    errors = [record.error for record in run.journal if isinstance(record, Completion) and record.activation == address]
    before = Counter(f"{error.type}: {error.message}" for error in errors if error is not None)
    told = "; ".join(f"{count} × {what}" if count > 1 else what for what, count in before.most_common(TOLD_IN_FULL))
    return f", at attempt {view.attempts}" + (f" (before: {told})" if told else "")


def _end(run: Studied, now_ms: int) -> Iterator[str]:
    state = run.state
    if not state.ended:
        yield f"The run is {run.status} since {span(max(now_ms - state.started_at, 0))}."
        return
    took = span(max(state.updated_at - state.started_at, 0))
    asked = next((record for record in reversed(run.journal) if isinstance(record, CancelRequested)), None)
    by = f", because somebody asked for it{f': {asked.reason}' if asked.reason else ''}" if asked is not None else ""
    error = state.error
    if error is not None and asked is None:
        by = f"{f' at {error.node}' if error.node else ''}: {error.type}: {error.message}"
    verb = state.status if state.status in ("completed", "failed") else f"was {state.status}"
    yield f"The run {verb} after {took}{by if state.status != 'completed' else ''}."
    if state.status in ("failed", "cancelled", "killed"):
        yield f"To let it go on from there: jetfleet runs retry {shlex.quote(run.id)}"
    if state.ignored:
        yield f"{state.ignored} of its {state.records} records meant nothing: they came twice, or too late."


def moment(ms: int) -> str:
    """In UTC, to the millisecond: an explanation reads alike wherever it is made."""
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
    except (ValueError, OverflowError, OSError):  # a record from anywhere
        return f"{ms} ms"
