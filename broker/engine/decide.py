"""Decide: one record in, effects out.

    begin(plan, record)   a new run from its RunStarted, and its first effects
    decide(run, record)   the run takes the record in; what it wants done because of it

Everything is a function of the records alone. A record that comes twice, too late, for an earlier attempt or for nothing that exists
changes nothing but the count of ignored records.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...schemas.effects import Effect, FinishRun
from ...schemas.errors import UnencodableValue, UnreadablePayload
from ...schemas.flow.node_types import Kind
from ...schemas.payload import is_whole
from ...schemas.plan.plan import NONE, Plan, PlanNode
from ...schemas.records import (
    CancelRequested,
    ChildEnded,
    Completion,
    Error,
    EventReceived,
    PauseRequested,
    Record,
    ResumeRequested,
    RunStarted,
    SignalReceived,
    SlotGranted,
    TimerFired,
    TimerId,
)
from ...schemas.ref import ValueElsewhere
from . import bodies, elsewhere, failure, firing, recovery, slots, undo, waits
from .activate import activate
from .beginning import enter
from .cancel import cancel_body
from .claims import everything
from .reading import node_input, run_output
from .routing import complete
from .run_timers import run_timers
from .state import READY, RUNNING, WAITING, Run, Scope, Wait
from .turn import Ended, Turn, Undecided, Undone

_SWITCH = Kind.SWITCH
TURN_MAX = 1_000_000_000
"""What a run may decide by one record, in about ns: its owner sends no heartbeat meanwhile, and after 2 s others would take over, and try
the same. An estimate, and not a clock, because whoever folds the record has to come to the same."""
WEIGHED_EACH, ITEM_NS, BYTE_NS = 64, 2_000, 3
"""One item in so many is weighed; what one takes, and what it takes for each byte of its instance's value."""
TOO_MUCH = (
    "the run decided for more than a second without waiting for anything: a loop or split goes round without a task, or over a large "
    "value; put a task or a delay into its body, or hand on less"
)


def begin(plan: Plan, record: RunStarted, keep: bool = False) -> tuple[Run, list[Effect]]:
    """Start a run. With `keep`, instances of loop and split bodies stay readable after they have ended (for views of the run)."""
    run = Run(record.run, plan, record.at, record.trigger, record.payload, record.meta)
    run.parent, run.keep = record.parent, keep
    turn = Turn(run, record.at)
    if plan.run_limits is not None:
        slots.begin(turn)
    else:
        turn.effects += run_timers(run)
        enter(turn)
    _settle(turn)
    return run, turn.effects


def decide(run: Run, record: Record) -> list[Effect]:
    """Take a record in. Returns what is to be done now, in order."""
    turn = Turn(run, record.at)
    run.records += 1
    handler = _HANDLERS.get(type(record))
    if run.ended or handler is None or record.run != run.id or not handler(turn, record):
        run.ignored += 1
        return turn.effects
    run.updated_at = max(run.updated_at, record.at)
    _settle(turn)
    return turn.effects


# --- one turn


def _settle(turn: Turn) -> None:
    """Work the queue off: starts, skips, ends and failures, in the order in which they came about."""
    run, queue = turn.run, turn.queue
    weighed_in, left = WEIGHED_EACH, TURN_MAX
    while queue:
        scope, item = queue.popleft()
        weighed_in -= 1
        if not weighed_in:
            weighed_in = WEIGHED_EACH
            left -= _weight(scope, item)
            if left < 0 and run.status == "running":
                queue.appendleft((scope, item))
                _give_up(turn)
                continue
        try:
            if type(item) is PlanNode:
                activate(turn, scope, item)
            else:
                _come_to(turn, scope, item)
        except (UnreadablePayload, UnencodableValue) as error:
            _blame(turn, scope, item, Error(error.code.lower(), str(error), False))
        except ValueElsewhere as error:
            _blame(turn, scope, item, elsewhere.item_error(run, scope, item, error.ref))
    if run.rare_ is not None and run.rare_.losses is not None:
        recovery.settle(turn, run.rare_.losses)
    if run.ended:
        _tell_failed_undoing(run)
        if run.rare_ is not None and run.rare_.claims is not None:
            turn.effects += everything(run)
        turn.effects.append(FinishRun(run.id, run.status, run.output, run.error))


def _give_up(turn: Turn) -> None:
    """End a run that decides too much at once. What is about to be undone is: nobody would begin it a second time."""
    undoing = [(scope, item) for scope, item in turn.queue if type(item) is Undone or (type(item) is PlanNode and item.compensates != NONE)]
    turn.queue.clear()
    turn.queue.extend(undoing)
    failure.end_run(turn, "failed", Error("too_much_at_once", TOO_MUCH, False))


def _weight(scope: Scope, item: object) -> int:
    """What WEIGHED_EACH items like this one may take, in ns. Tasks are dispatched and weigh nothing: what comes of them comes later."""
    if type(item) is PlanNode and item.kind == Kind.TASK:
        return 0
    return WEIGHED_EACH * (ITEM_NS + BYTE_NS * len(scope.input))


def _come_to(turn: Turn, scope: Scope, item: Ended | Undone | Undecided | Error | PlanNode) -> None:
    """Something has come to an end: an instance, a compensation, or an instance by a failure."""
    run = turn.run
    if type(item) is Ended:
        if scope.parent is not None:
            bodies.ended(turn, scope)
        elif run.status == "running" and scope.open == 0 and not (run.rare_ is not None and run.rare_.undos):
            _run_ended(turn)
    elif type(item) is Undone:
        finished = undo.ended(turn, scope, item)
        if finished is not None:
            failure.undone(turn, finished)
    elif type(item) is Undecided:
        if not failure.undecided(turn, scope, item.guard, item.error):
            bodies.failed(turn, scope, item.error)
    elif type(item) is Error:
        bodies.failed(turn, scope, item)


def _blame(turn: Turn, scope: Scope, item: object, error: Error) -> None:
    """A value could not be read or written where the engine had to: the node, or the loop or split around, has failed."""
    if type(item) is PlanNode:
        failure.attempt_failed(turn, scope, item, error)
    elif scope.parent is not None:
        owner = turn.plan.nodes[scope.plan.owner]
        cancel_body(turn, scope.parent, owner)
        turn.clear_timer(scope.parent, owner, "timeout")
        failure.attempt_failed(turn, scope.parent, owner, error)
    else:
        failure.end_run(turn, "failed", error)


def _tell_failed_undoing(run: Run) -> None:
    """A compensation that failed where nobody waited for it any more is told at the end, also of a run that completed."""
    failures = [] if run.rare_ is None else run.rare_.undo_errors
    if failures:
        error = run.error or Error("compensation_failed", "something that was given up could not be undone", False)
        run.error = undo.both_errors(error, failures)


def _run_ended(turn: Turn) -> None:
    """Nothing is open: the run has completed, or failed after its independent branches ran to their ends."""
    run = turn.run
    if run.error is not None:
        failure.end_run(turn, "failed", run.error)
        return
    run.output = run_output(run)
    turn.clear_run_timers()
    run.status = "completed"


# --- the records. Each handler says whether the record meant anything.


def _completion(turn: Turn, record: Completion) -> bool:
    found = turn.run.find(record.activation)
    if found is None:
        return False
    scope, node = found
    if scope.cells[node.slot] != RUNNING or scope.attempt(node.slot) != record.attempt:
        return recovery.executed_again(turn, record)
    if node.concurrency is not None:
        turn.give_slot_back(record.activation)
    if record.error is not None:
        _attempt_failed(turn, scope, node, record.error, record.retry_after_ms)
        return True
    port = node.port_index(record.port)
    if not is_whole(record.output):
        failure.attempt_failed(
            turn, scope, node, Error("unreadable_payload", f"the output of {len(record.output)} bytes is no value", False)
        )
    elif port < 0 or record.port == "error":
        known = ", ".join(port for port in node.ports if port != "error")
        failure.attempt_failed(turn, scope, node, Error("unknown_port", f"no port {record.port!r}; the node has: {known}", False))
    else:
        # A switch hands its value on as it came, whatever the worker did with it to decide.
        complete(turn, scope, node, port, record.output if node.kind != _SWITCH else node_input(turn.run, scope, node))
    return True


def _attempt_failed(turn: Turn, scope: Scope, node: PlanNode, error: Error, after_ms: int | None = None, child: str = "") -> None:
    """A worker or a child has failed; by a lost payload, that one may be made again."""
    final = recovery.attempt_lost(turn, scope, node, error, child) if error.type == recovery.TYPE else error
    if final is not None:
        failure.attempt_failed(turn, scope, node, final, after_ms)


def _child_ended(turn: Turn, record: ChildEnded) -> bool:
    found = turn.run.find(record.activation)
    if found is None:
        return False
    scope, node = found
    waiting: Wait | None = scope.more.waits.get(node.slot) if scope.more is not None and scope.more.waits else None
    if scope.cells[node.slot] != WAITING or waiting is None or waiting.name != record.child or node.kind != Kind.SUBFLOW:
        return False
    error = waits.child_ended(turn, scope, node, record)
    if error is not None:
        _attempt_failed(turn, scope, node, error, child=record.child)
    return True


def _cancel(turn: Turn, record: CancelRequested) -> bool:
    run = turn.run
    if (run.status == "compensating" and not record.kill) or record.life not in (0, run.life):
        return False
    status = "killed" if record.kill else "cancelled"
    run.error = run.error or Error(status, record.reason or status, False)
    was_paused, run.paused = run.paused, False
    if was_paused:
        run.rare().with_flow = False
    failure.end_run(turn, status, run.error)
    if was_paused and not run.ended:
        _wake(turn)  # compensations may be among what was held
    return True


def _pause(turn: Turn, record: PauseRequested) -> bool:
    run = turn.run
    if run.status != "running" or (run.paused and (record.with_flow or not run.paused_with_flow)):
        return False
    run.paused = True
    if record.with_flow:
        run.rare().with_flow = True
    elif run.rare_ is not None:
        run.rare_.with_flow = False  # from now on it stays paused when its flow goes on
    return True


def _resume(turn: Turn, record: ResumeRequested) -> bool:
    if not turn.run.paused or (record.with_flow and not turn.run.paused_with_flow):
        return False
    _wake(turn)
    return True


def _wake(turn: Turn) -> None:
    """Start what was held while the run was paused, and let the timers that fired meanwhile take effect."""
    run = turn.run
    run.paused = run.rare().with_flow = False
    for scope in list(run.scopes()):
        for index in scope.plan.nodes:
            if scope.cells[run.plan.nodes[index].slot] == READY:
                turn.queue.append((scope, run.plan.nodes[index]))
    recovery.go_on(turn)
    held, run.rare().held_timers = run.rare().held_timers, []
    for path, purpose, attempt in held:
        firing.fired(turn, TimerFired(run.id, turn.now, TimerId(path, purpose, attempt)))


_HANDLERS: dict[type[Any], Callable[[Turn, Any], bool]] = {
    Completion: _completion,
    TimerFired: firing.fired,
    SignalReceived: waits.signal_received,
    EventReceived: waits.event_received,
    ChildEnded: _child_ended,
    CancelRequested: _cancel,
    PauseRequested: _pause,
    ResumeRequested: _resume,
    SlotGranted: slots.granted,
}
