"""Carrying effects out: what each wish of the engine means on the broker.

Every effect goes into the outbox with the ticket of the WAL message that it came of. Doing one twice is harmless: tasks are asked about,
records are ignored by the engine, schedules replace themselves, events have ids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ...schemas import effects as fx
from ...schemas import records as rec
from ...schemas import subjects
from ...schemas.errors import EventRejected, UsageError
from ...schemas.messages import DeadLetter, Ended, Summary, Task
from ...schemas.payload import NULL, decode
from ...schemas.plan.events import check_event, choose_trigger
from ...schemas.plan.plan import Plan
from ..engine import awaits, awaits_any
from ..engine.claims import waits_for_slot
from .acknowledged import Ticket
from .approval_notices import announce
from .open_run import OpenRun
from .pins import pin_for_others, pin_for_retry

if TYPE_CHECKING:
    from .partition import Partition

DEPTH_MAX = 100
"""How deep sub-flows may start sub-flows: a flow that starts itself must end before the disk is full. An id has a dot per level."""
Unasked: TypeAlias = tuple[OpenRun, fx.WantSlot, Ticket]
"""A slot that a run wanted while its partition was taken over."""

_encode = msgspec.msgpack.Encoder().encode


def carry_out(home: Partition, run: OpenRun, effect: fx.Effect, ticket: Ticket) -> None:
    """Do what a run wishes. `home` is its partition."""
    _CARRIERS[type(effect)](home, run, effect, ticket)


def _dispatch(home: Partition, run: OpenRun, effect: fx.Dispatch, ticket: Ticket) -> None:
    if home.tasks_come_later:
        return
    plan = run.run.plan
    node = plan.nodes[effect.activation[0]]  # type: ignore[index]
    task = _encode(Task(effect.run, effect.activation, effect.attempt, plan.digest, effect.input, effect.needs, home.repeating, run.trace))
    home.counters.tasks_emitted += 1
    if len(task) > home.outbox.entry_max_bytes:
        error = _too_large(home, f"the input of node {node.id!r}", len(task))
        completion = rec.Completion(effect.run, home.now_ms, effect.activation, effect.attempt, error=error)
        home.outbox.record(effect.run, _encode(completion), ticket)
        return
    queue = node.queue or subjects.QUEUE_DEFAULT
    home.outbox.task(queue, node.type, task, ticket, home.locality.near(queue, node.type, effect.input, effect.needs))


def _too_large(home: Partition, what: str, size_bytes: int) -> rec.Error:
    limit = f"{home.outbox.entry_max_bytes:,} fit into a message"
    return rec.Error(
        "payload_too_large", f"{what} has {size_bytes:,} bytes, and {limit}: put it elsewhere and hand on where it lies", False
    )


def _cancel_task(home: Partition, run: OpenRun, effect: fx.CancelTask, ticket: Ticket) -> None:
    home.outbox.cancel(effect.run, effect.activation, effect.attempt)


def _set_timer(home: Partition, run: OpenRun, effect: fx.SetTimer, ticket: Ticket) -> None:
    home.timers.set(effect)


def _clear_timer(home: Partition, run: OpenRun, effect: fx.ClearTimer, ticket: Ticket) -> None:
    home.timers.clear(run, effect, ticket)


def note_wait(home: Partition, run: OpenRun, effect: fx.Await | fx.StopAwaiting) -> None:
    """What lists and routing need of a wait that begins or ends. In silence this is all that comes of it."""
    if effect.kind == "event":
        _note_event(home, run, effect)
    elif type(effect) is fx.Await:
        home.waiting.add(effect.kind, run.plan.name, effect.run, effect.assignees)
    else:
        assert type(effect) is fx.StopAwaiting
        if not awaits_any(run.run, effect.kind):
            home.waiting.discard(effect.kind, run.plan.name, effect.run)
        if effect.kind == "approval":
            home.decisions.add(effect.run, effect.wait, effect.outcome)


def _note_event(home: Partition, run: OpenRun, effect: fx.Await | fx.StopAwaiting) -> None:
    if type(effect) is fx.Await:
        home.awaited.add(effect.run, effect.name, effect.correlate)
    elif not awaits(run.run, effect.name, effect.correlate):  # another activation may wait for the same
        home.awaited.discard(effect.run, effect.name, effect.correlate)


def _await(home: Partition, run: OpenRun, effect: fx.Await, ticket: Ticket) -> None:
    note_wait(home, run, effect)
    if effect.kind == "approval":
        announce(home, run, effect, ticket)


def _stop_awaiting(home: Partition, run: OpenRun, effect: fx.StopAwaiting, ticket: Ticket) -> None:
    note_wait(home, run, effect)


def _start_child(home: Partition, run: OpenRun, effect: fx.StartChild, ticket: Ticket) -> None:
    parent = (effect.run, effect.activation)
    plan = _version(home, effect)
    refusal = _refusal(home, effect, plan)
    if refusal is not None:
        ended = rec.ChildEnded(
            effect.run, home.now_ms, effect.activation, effect.attempt, effect.child, "failed", NULL, refusal
        )  # fmt: skip
        home.outbox.record(effect.run, _encode(ended), ticket)
        return
    assert plan is not None
    trigger = choose_trigger(plan, None)
    started = rec.RunStarted(
        effect.child, home.now_ms, plan.name, plan.digest, trigger, effect.input, NULL, parent, _trace_below(home, run)
    )
    home.outbox.record(effect.child, _encode(started), ticket)


def _version(home: Partition, effect: fx.StartChild) -> Plan | None:
    """The version that a sub-flow's run begins with: the one asked for, be it current or not, as it was deployed last."""
    plan = home.flows.begins_with(effect.flow, effect.child)
    if plan is None or effect.version in (None, plan.version):
        return plan
    asked_for = [each.digest for each in home.flows.versions(effect.flow) if each.version == effect.version]
    return (home.flows.plan(asked_for[-1]) if asked_for else None) or plan


def _refusal(home: Partition, effect: fx.StartChild, plan: Any) -> rec.Error | None:
    """Why a sub-flow cannot be started."""
    if len(effect.input) > home.outbox.entry_max_bytes:
        return _too_large(home, f"the input of sub-flow {effect.flow!r}", len(effect.input))
    if plan is None:
        return rec.Error("unknown_flow", f"no flow {effect.flow!r} is deployed", False)
    if effect.version is not None and effect.version != plan.version:
        there = ", ".join(sorted({each.version for each in home.flows.versions(effect.flow)}))
        return rec.Error("unknown_flow", f"flow {effect.flow!r} was never deployed in version {effect.version}; there is: {there}", False)
    if effect.child.count(".") > DEPTH_MAX:
        return rec.Error("too_deep", f"sub-flows are nested {DEPTH_MAX} deep; does {effect.flow!r} start itself without end?", False)
    try:
        choose_trigger(plan, None)
        if plan.inputs is not None:
            check_event(plan, decode(effect.input))
    except (UsageError, EventRejected) as error:
        return rec.Error(error.code.lower(), f"flow {effect.flow!r} cannot be started: {error}", False)
    return None


def _cancel_child(home: Partition, run: OpenRun, effect: fx.CancelChild, ticket: Ticket) -> None:
    # A parent waits for its first life only: who tries it again does so for its own sake.
    record = rec.CancelRequested(effect.child, home.now_ms, effect.reason, effect.kill, 1)
    home.outbox.record(effect.child, _encode(record), ticket)


def _emit(home: Partition, run: OpenRun, effect: fx.Emit, ticket: Ticket) -> None:
    """For the runs that wait for it, in all partitions; and for the flow that it names, if it names one."""
    if len(effect.payload) > home.outbox.entry_max_bytes:
        error = _too_large(home, f"the event {effect.subject!r} of run {effect.run}", len(effect.payload))
        letter = DeadLetter("event", "PAYLOAD_TOO_LARGE", error.message, f"events.{effect.subject}", effect.payload, home.now_ms)
        home.outbox.dead(letter)
        return
    pin_for_others(home.outbox, run, effect.payload, ticket)
    record = _encode(rec.EventReceived("", home.now_ms, effect.subject, effect.payload, effect.id))
    for partition in range(home.partitions):
        home.outbox.wal(partition, record, ticket)
    if home.flows.current(effect.subject.partition(".")[0]) is not None:
        home.outbox.event(f"events.{effect.subject}", effect.payload, effect.id, _trace_below(home, run), ticket)


def _want_slot(home: Partition, run: OpenRun, effect: fx.WantSlot, ticket: Ticket) -> None:
    if not effect.activation:
        home.queued.add(effect.run, run.plan.name)
    if home.unasked is None:
        _ask(home, effect, ticket)
    else:
        ticket.pending += 1
        home.unasked.append((run, effect, ticket))


def ask_what_is_left(home: Partition, unasked: list[Unasked]) -> None:
    """Ask for the slots that were wanted while the WAL was read, and not granted further on in it.

    A question that was answered long ago must not be asked again: it would drive out whoever came after it (`cancel_oldest`).
    """
    for run, effect, ticket in unasked:
        if waits_for_slot(run.run, effect.activation, effect.attempt, effect.limit):
            _ask(home, effect, ticket)
        ticket.settled(1, None)


def _ask(home: Partition, effect: fx.WantSlot, ticket: Ticket) -> None:
    record = rec.SlotWanted(
        effect.limit, home.now_ms, effect.run, effect.activation, effect.attempt, effect.most, effect.on_limit, effect.per_ms, effect.burst,
        effect.priority, effect.fair,
    )  # fmt: skip
    home.outbox.record(effect.limit, _encode(record), ticket)


def _release_slot(home: Partition, run: OpenRun, effect: fx.ReleaseSlot, ticket: Ticket) -> None:
    record = rec.SlotReleased(effect.limit, home.now_ms, effect.run, effect.activation, effect.attempt)
    home.outbox.record(effect.limit, _encode(record), ticket)


def _finish_run(home: Partition, run: OpenRun, effect: fx.FinishRun, ticket: Ticket) -> None:
    state, now = run.run, home.now_ms
    if len(effect.output) > home.outbox.entry_max_bytes:
        error = _too_large(home, "the output of the run", len(effect.output))
        effect = fx.FinishRun(effect.run, "failed", NULL, error)
    if len(run.tail) + len(effect.output) > home.outbox.entry_max_bytes:
        home.outbox.part(state.plan.name, run.cut(), ticket)
    summary = Summary(
        flow=state.plan.name, version=state.plan.version, digest=state.plan.digest, status=effect.status, trigger=state.trigger,
        started_at=state.started_at, ended_at=state.updated_at, output=effect.output, error=effect.error,
        records=run.archived + run.count, parent=None if state.parent is None else state.parent[0], trace=run.trace, source=state.source,
    )  # fmt: skip
    home.outbox.part(state.plan.name, run.cut(summary), ticket)
    pin_for_others(home.outbox, run, effect.output, ticket)
    pin_for_retry(home.outbox, state, effect.status)
    home.archiving.add(state.id, ticket)
    if state.parent is not None:
        parent, activation = state.parent
        ended = rec.ChildEnded(parent, now, activation, _attempt_of(state.id, parent), state.id, effect.status, effect.output, effect.error)
        home.outbox.record(parent, _encode(ended), ticket)
    if home.tracing.on:
        home.tracing.run_ended(state.id, summary)
    home.run_ended(run, Ended(state.id, effect.status, state.updated_at, effect.output, effect.error, run.reopened))


def _attempt_of(child: str, parent: str) -> int:
    """Which attempt of its parent's node a child is: its id ends with `.n` from the second on."""
    _, _, attempt = child.removeprefix(f"{parent}.").partition(".")
    return int(attempt) if attempt.isdecimal() and len(attempt) < 10 else 1


def _trace_below(home: Partition, run: OpenRun) -> str:
    """The traceparent for what this run starts: its own span, where there are spans, else what it was started with."""
    return home.tracing.child_trace(run.run.id, run.trace, run.run.plan.name) if home.tracing.on else run.trace


_CARRIERS: dict[type[Any], Callable[[Any, Any, Any, Ticket], None]] = {
    fx.Dispatch: _dispatch,
    fx.CancelTask: _cancel_task,
    fx.SetTimer: _set_timer,
    fx.ClearTimer: _clear_timer,
    fx.Await: _await,
    fx.StopAwaiting: _stop_awaiting,
    fx.StartChild: _start_child,
    fx.CancelChild: _cancel_child,
    fx.Emit: _emit,
    fx.FinishRun: _finish_run,
    fx.WantSlot: _want_slot,
    fx.ReleaseSlot: _release_slot,
}
