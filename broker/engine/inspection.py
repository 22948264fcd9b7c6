"""Inspection: what a run looks like to a person, and why it is not moving.

    nodes(run)        each activation with its status, port, attempts and output
    blocked_on(run)   everything that the run waits for right now; never empty for an open run

Both only read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...schemas.flow.node_types import Kind
from ...schemas.payload import Payload
from ...schemas.plan.plan import NONE, PlanNode
from ...schemas.records import Activation
from .claims import is_queued, node_claims, run_claim
from .recovery import tasks_out
from .state import COMPLETED, FAILED, PENDING, READY, RETRYING, RUNNING, SKIPPED, WAITING, Run, Scope, Status, activation

UNTIL_RESUMED = "until it is resumed"
"""The detail of a run that was paused itself, and not with its flow."""


@dataclass(frozen=True, slots=True)
class NodeView:
    """`port` and `output` are None unless it completed, or failed with an error edge; a skipped one had no attempt."""

    status: str
    port: str | None
    attempts: int
    output: Payload | None


@dataclass(frozen=True, slots=True)
class Blocked:
    """One thing that an open run waits for. `due` is in milliseconds since the epoch, where there is a time."""

    node: str
    reason: str  # task, retry, payload, timer, approval, signal, event, child, scope_retry, limit, paused
    detail: str = ""
    due: int | None = None

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}" + (f" {self.detail}" if self.detail else "")


def key(node: PlanNode, scope: Scope) -> str:
    """The activation's name: the node's id with the iterations around it, `charge[2][0]`."""
    return node.id + "".join(f"[{step}]" for step in scope.path())


def nodes(run: Run) -> dict[str, NodeView]:
    """Every node of every instance that still exists, by its key, in the order of the flow.

    Instances of bodies stay only in a run that was begun with `keep`.
    """
    found: dict[str, NodeView] = {}
    _collect(run, run.root, found)
    return found


def _collect(run: Run, scope: Scope, found: dict[str, NodeView]) -> None:
    for index in scope.plan.nodes:
        node = run.plan.nodes[index]
        if not node.hidden:
            found[key(node, scope)] = _view(run, scope, node)
        body = scope.body(node.slot)
        for inner in sorted(body.scopes(), key=lambda inner: inner.index) if body is not None else ():
            _collect(run, inner, found)


def _view(run: Run, scope: Scope, node: PlanNode) -> NodeView:
    status = scope.cells[node.slot]
    if status == SKIPPED or (node.compensates != NONE and status == PENDING and run.ended):
        return NodeView("skipped", None, 0, None)
    attempts = 0 if status in (PENDING, READY) else _attempts(scope, node)
    if status not in (COMPLETED, FAILED):
        return NodeView(Status(status).name.lower(), None, attempts, None)
    port = node.ports[scope.cells[3 * scope.plan.size + node.slot]]
    return NodeView(Status(status).name.lower(), port, attempts, scope.output(node.slot))


def _attempts(scope: Scope, node: PlanNode) -> int:
    """A node that waits for its next attempt has had one less than the number of that one."""
    return scope.attempt(node.slot) - (scope.cells[node.slot] == RETRYING)


def blocked_on(run: Run) -> list[Blocked]:
    """Why the run is not moving, most specific first: what it has asked the world for and is still waiting for."""
    if run.ended:
        return []
    until = f"until its flow goes on: `jetfleet flow resume {run.plan.name}`" if run.paused_with_flow else UNTIL_RESUMED
    found = [Blocked("run", "paused", until)] if run.paused else []
    found += _own_limit(run)
    for scope in [] if is_queued(run) else run.scopes():
        for index in scope.plan.nodes:
            found += _reasons(run, scope, run.plan.nodes[index])
        found += _guard_reasons(run, scope)
    return found + [
        Blocked(key(node, scope), "task", f"attempt {effect.attempt} on queue {node.queue or 'default'}, for its lost payload")
        for effect in tasks_out(run)
        for scope, node in [run.find(effect.activation) or (run.root, run.plan.nodes[int(effect.activation[0])])]
    ]


def _own_limit(run: Run) -> Iterator[Blocked]:
    """What a queued run waits for: only its limit knows who is before it."""
    claim = run_claim(run)
    if claim is not None and is_queued(run):
        ask = claim.asks[claim.place]
        rule = f"{ask.most} begin per {ask.per_ms:,} ms" if ask.per_ms else f"{ask.most} at a time"
        yield Blocked("run", "limit", f"{ask.limit}, {rule}", claim.due or None)


def _lost(run: Run, address: Activation) -> list[Activation]:
    """Who has to make payloads again for the activation."""
    losses = None if run.rare_ is None else run.rare_.losses
    return losses.lost[address].needs if losses is not None and address in losses.lost else []


def _reasons(run: Run, scope: Scope, node: PlanNode) -> Iterator[Blocked]:
    status, name = scope.cells[node.slot], key(node, scope)
    more = scope.more
    timers = (more.timers if more is not None else None) or {}
    if status == RUNNING:
        why = "" if node.kind == Kind.TASK else ", for its value lies elsewhere and only a worker can look into it"
        yield Blocked(name, "task", f"attempt {scope.attempt(node.slot)} on queue {node.queue or 'default'}{why}")
    elif status == RETRYING and (needs := _lost(run, activation(scope, node))):
        makers = ", ".join(run.plan.nodes[int(need[0])].id for need in needs)
        yield Blocked(name, "payload", f"of {makers}, which is lost and made again")
    elif status == RETRYING:
        error = more.errors.get(node.slot) if more is not None and more.errors else None
        detail = f"attempt {scope.attempt(node.slot)}" + (f" after {error.type}: {error.message}" if error is not None else "")
        yield Blocked(name, "retry", detail, timers.get((node.slot, "retry")))
    elif status == WAITING and (claim := node_claims(run).get(activation(scope, node))) is not None:
        most = 0 if node.concurrency is None else node.concurrency.max
        yield Blocked(name, "limit", f"{claim.limit}, {most} at a time")
    elif status == WAITING:
        wait = more.waits.get(node.slot) if more is not None and more.waits else None
        due = next((timers[node.slot, purpose] for purpose in ("delay", "wait", "timeout") if (node.slot, purpose) in timers), None)
        yield Blocked(name, wait.kind if wait is not None else "timer", wait.name if wait is not None else "", due)


def _guard_reasons(run: Run, scope: Scope) -> Iterator[Blocked]:
    timers = (scope.more.timers if scope.more is not None else None) or {}
    for (index, purpose), due in timers.items():
        if purpose == "scope_retry":
            guard = run.plan.guards[index]
            state = scope.more.guards.get(index) if scope.more is not None and scope.more.guards else None
            yield Blocked(guard.id, "scope_retry", f"attempt {state.attempt}" if state is not None else "", due)
