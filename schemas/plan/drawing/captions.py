"""Captions: what a drawing says about a node besides its name, in a few words.

`gist` is what the node does (the condition of a switch, the bound of a loop), `marks` how it stands in the flow (disabled, in which
scope), `policies` what surrounds its attempts (retries, timeout, compensation). All are for people: their wording may change.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...flow.node_types import Kind
from ..plan import NONE, Plan, PlanGuard, PlanNode, PlanTrigger


def gist(node: PlanNode) -> str:
    """What a structural node is told to do; empty for nodes that a worker executes."""
    match node.kind:
        case Kind.SWITCH:
            return str(node.program.conditions[0])
        case Kind.MERGE:
            return f"{node.program.count} of its inputs" if node.program.strategy == "count" else str(node.program.strategy)
        case Kind.SPLIT:
            return _split(node)
        case Kind.LOOP:
            return f"at most {node.program.max_iterations} rounds" + "".join(f", until {end}" for end in node.program.conditions)
        case Kind.WAIT:
            return _wait(node)
        case Kind.DELAY:
            asked = node.config.duration_ms
            return duration(asked) if isinstance(asked, int) else str(asked)
        case Kind.SUBFLOW:
            return str(node.config.flow) + (" (detached)" if node.config.detached else "")
        case Kind.EMIT:
            return str(node.config.subject)
        case Kind.RAISE:
            return str(node.config.type)
    return ""


def marks(plan: Plan, node: PlanNode) -> Iterator[str]:
    """Whether the node runs at all, and the scope that it fails with."""
    if not node.enabled:
        yield "disabled"
    if node.guard != NONE and plan.guards[node.guard].id != node.id:
        yield f"in {plan.guards[node.guard].id}"


def policies(plan: Plan, node: PlanNode) -> Iterator[str]:
    """What surrounds the node's attempts, as short remarks; nothing for a node that has only defaults."""
    if node.queue is not None:
        yield f"queue {node.queue}"
    if node.retry is not None:
        yield f"{node.retry.max_attempts} attempts"
    if node.timeout_ms is not None:
        yield f"within {duration(node.timeout_ms)}"
    if node.concurrency is not None:
        yield f"{node.concurrency.max} at a time" + (f" per {node.concurrency.key}" if node.concurrency.key else "")
    if node.compensate != NONE:
        yield f"undone by {plan.nodes[node.compensate].id}"
    if node.compensates != NONE:
        yield f"undoes {plan.nodes[node.compensates].id}"


def guard_caption(plan: Plan, guard: PlanGuard) -> str:
    """The rule of a try or parallel scope and the policies of the scope as a whole."""
    parts = ["try" if guard.kind == "try" else f"parallel, {guard.completion.replace('_', ' ')}"]
    if guard.retry is not None:
        parts.append(f"{guard.retry.max_attempts} attempts")
    if guard.timeout_ms is not None:
        parts.append(f"within {duration(guard.timeout_ms)}")
    if guard.compensate is not None:
        parts.append(f"undone in {guard.compensate[0]} order" if guard.compensate[0] == "reverse" else f"undone: {guard.compensate[0]}")
    parts += [f"on error {plan.nodes[edge.target].id}" for edge in guard.edges]
    return ", ".join(parts)


def trigger_caption(trigger: PlanTrigger) -> str:
    """Where the trigger's events come from, if its params say so by a well-known key."""
    params = trigger.params if isinstance(trigger.params, dict) else {}
    known = [str(params[key]) for key in ("method", "path", "schedule", "topic", "name") if key in params]
    return " ".join([*known, *([] if trigger.enabled else ["(disabled)"])])


def duration(ms: int) -> str:
    """Milliseconds in the largest unit that gives a whole number: `90 s`, `1 h`, `1500 ms`."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if ms >= size and ms % size == 0:
            return f"{ms // size} {unit}"
    return f"{ms} ms"


def _split(node: PlanNode) -> str:
    program = node.program
    what = f"each of {node.config.field or '$'}"
    if program.batch_size:
        what = f"batches of {program.batch_size} of {node.config.field or '$'}"
    return what + (f", {program.max_parallel} at a time" if program.max_parallel > 1 else "")


def _wait(node: PlanNode) -> str:
    config = node.config
    kind = next((name for name in ("hook_id", "signal", "event") if getattr(config, name) is not None), "")
    what = f"{kind.removesuffix('_id')} {getattr(config, kind)}" if kind else "time"
    due = config.due_after_ms
    return what + (f", {config.timeout_action} after {duration(due)}" if due is not None else "")
