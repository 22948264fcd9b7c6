"""Recovery: an attempt has failed because a payload is nowhere to be had, so whoever made the payload makes it again.

    C fails with payload_lost ─▶ C waits ─▶ its producers are executed again ─▶ what they give stands for what was lost ─▶ C's next attempt

It counts as no failure of C, and follows none of the producers' edges again. A producer stays COMPLETED all the while; what was
lost is replaced only in what leaves the run (tasks, children, events, the output). A producer may find its own input lost, and then
waits in the same way.

It is not done, and C fails for good with the reason, when a producer has not declared itself idempotent, belongs to another run, or is gone
with its instance; when it fails; and after ROUNDS_MAX rounds for the same activation.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from ...schemas.effects import Dispatch, Effect, Emit, StartChild
from ...schemas.errors import UnreadablePayload
from ...schemas.flow.node_types import Kind
from ...schemas.payload import Payload, decode, is_whole
from ...schemas.plan.plan import ALL_DECIDED, PlanNode
from ...schemas.records import Activation, Completion, Error
from ...schemas.ref import Ref
from ...schemas.values import MISSING, Path, get
from . import failure
from .losses import Again, Losses, Lost
from .reading import task
from .state import COMPLETED, READY, RETRYING, LoopBody, Run, Scope, activation
from .turn import Turn

TYPE = "payload_lost"

ROUNDS_MAX = 3
"""How often one activation may wait for lost payloads to be made again."""


class Producer(NamedTuple):
    """Who made a lost payload; `again`: it has declared that it may be executed again."""

    run: str
    activation: Activation
    again: bool


def attempt_lost(turn: Turn, scope: Scope, node: PlanNode, error: Error, child: str = "") -> Error | None:
    """The current attempt, or the run `child` of a sub-flow, failed with `payload_lost`.

    None: the activation waits now; else the error with which it fails for good.
    """
    address = activation(scope, node)
    reason = _wait(turn, address, error, child)
    if reason:
        return _for_good(error, reason)
    slot, more = node.slot, scope.rare()
    more.attempts, more.bases, more.errors = more.attempts or {}, more.bases or {}, more.errors or {}
    more.bases[slot] = more.bases.get(slot, scope.base) + 1  # so that the retry policy does not count this attempt
    more.attempts[slot] = scope.attempt(slot) + 1
    more.errors[slot] = error
    scope.cells[slot] = RETRYING
    _go_on_if_ready(turn, address)
    return None


def executed_again(turn: Turn, record: Completion) -> bool:
    """The end of an attempt that made lost payloads again. False: it is no such attempt, the record means nothing."""
    rare = turn.run.rare_
    losses = None if rare is None else rare.losses
    if losses is None or not losses.is_out(record.activation, record.attempt):
        return False
    losses.again[record.activation].out = False
    reason = _take(turn, losses, record)
    if reason:
        _give_up_on(turn, losses, record.activation, reason)
    return True


def go_on(turn: Turn) -> None:
    """The run was resumed: execute again what could not be while it was paused."""
    rare = turn.run.rare_
    for address in rare.losses.held() if rare is not None and rare.losses is not None else ():
        _execute(turn, address)


def tasks_out(run: Run) -> list[Dispatch]:
    """The tasks of executions that make lost payloads again."""
    losses = None if run.rare_ is None else run.rare_.losses
    out = [] if losses is None else [run.find(address) for address, again in losses.again.items() if again.out]
    return [task(run, *found) for found in out if found is not None]


def relocated(run: Run, effects: list[Effect]) -> list[Effect]:
    """The effects with what was made again in the place of what was lost."""
    losses = None if run.rare_ is None else run.rare_.losses
    return effects if losses is None or not losses.relocated else [_relocated(losses, effect) for effect in effects]


def settle(turn: Turn, losses: Losses) -> None:
    """The turn is over: let what leaves the run have what was made again, and forget who has ended."""
    run = turn.run
    turn.effects = relocated(run, turn.effects)
    run.output = losses.payload(run.output)
    for address in [waiter for waiter, lost in losses.lost.items() if not lost.needs and waiter not in losses.again]:
        found = run.find(address)
        if found is None or found[0].cells[found[1].slot] >= COMPLETED:
            del losses.lost[address]


def _relocated(losses: Losses, effect: Effect) -> Effect:
    new = losses.payload
    if isinstance(effect, Dispatch):
        return Dispatch(effect.run, effect.activation, effect.attempt, new(effect.input), tuple(map(new, effect.needs)))
    if isinstance(effect, StartChild):
        return replace(effect, input=new(effect.input))
    return replace(effect, payload=new(effect.payload)) if isinstance(effect, Emit) else effect


# --- waiting


def _wait(turn: Turn, address: Activation, error: Error, child: str = "") -> str:
    """Have the producers of the lost payloads executed, for this activation to wait for. Why that cannot be, "" if it can."""
    producers = _producers(error)
    if child:  # what the child had made itself is made anew with it, as long as it is not all that was lost
        producers = [producer for producer in producers if not _is_within(producer.run, child)] or producers
    rare = turn.run.rare()
    losses = rare.losses or Losses()
    lost = losses.lost.get(address) or Lost()
    if lost.rounds >= ROUNDS_MAX:
        return f"it was made again {ROUNDS_MAX} times, and lost again each time"
    refusals = (_refusal(turn.run, losses, producer, address) for producer in producers)
    reason = next(filter(None, refusals), "" if producers else "nobody knows which node made it")
    if reason:
        return reason
    rare.losses = losses
    losses.lost[address] = lost
    lost.rounds += 1
    for producer in dict.fromkeys(producer.activation for producer in producers):
        # Whoever was dispatched before its producer was executed again had the refs of old: what was made then will do. But where
        # the producer's scope was tried again since, nothing is left of what was made then.
        if lost.rounds > 1 or producer in losses.again or losses.moved.get(producer) != _attempt(turn.run, producer):
            lost.needs.append(producer)
            if producer not in losses.again:
                losses.again[producer] = Again()
                _execute(turn, producer)
    return ""


def _is_within(run: str, child: str) -> bool:
    """Whether it is the child's run, or one below it."""
    return run == child or run.startswith(f"{child}.")


def _attempt(run: Run, address: Activation) -> int | None:
    """The activation's current attempt, or its last one."""
    found = run.find(address)
    return None if found is None else found[0].attempt(found[1].slot)


def _producers(error: Error) -> list[Producer]:
    """Who made what was lost, as the worker says; none where it does not."""
    entries = error.details.get("producers") if isinstance(error.details, dict) else None
    found: list[Producer] = []
    for entry in entries if isinstance(entries, list) else ():
        address = entry.get("activation") if isinstance(entry, dict) else None
        if not isinstance(address, (list, tuple)):
            return []
        found.append(Producer(str(entry.get("run")), tuple(address), entry.get("again") is True))
    return found


def _refusal(run: Run, losses: Losses, producer: Producer, waiter: Activation) -> str:
    """Why a producer is not executed again; "" if it can be."""
    if not run.is_own(producer.run):
        return f"it was made by run {producer.run}, not by this one"
    if not producer.activation:
        return "it came with the event that started the run"
    found = _standing(run, producer.activation)
    if found is None:
        return "the node that made it stood in an iteration or item that is over"
    scope, node = found
    name = node.id.removesuffix("~")
    if scope.cells[node.slot] != COMPLETED or node.kind not in (Kind.TASK, Kind.MERGE):
        return f"{name!r} made it, and has not completed as the node that it was"
    if not producer.again:
        return f"{name!r} made it, and is not executed again unless it is declared idempotent: @node(idempotent=True)"
    if node.kind == Kind.MERGE and node.join != ALL_DECIDED:
        return f"{name!r} made it of what had arrived by then, which cannot be repeated"
    if losses.depends(producer.activation, waiter):
        return f"{name!r} made it, and waits for it itself"
    return ""


def _standing(run: Run, address: Activation) -> tuple[Scope, PlanNode] | None:
    """The instance and node of an activation. Instances that are only kept (for views, for undoing) do not count: some runs lack them."""
    found = run.find(address)
    scope = None if found is None else found[0]
    while scope is not None and scope.parent is not None:
        body = scope.parent.body(run.plan.nodes[scope.plan.owner].slot)
        current = body.scope if isinstance(body, LoopBody) else None if body is None else body.active.get(scope.index)
        if current is not scope:
            return None
        scope = scope.parent
    return found


def _execute(turn: Turn, address: Activation) -> None:
    """Have a worker execute a completed activation once more; held while the run is paused."""
    found, losses = turn.run.find(address), turn.run.rare().losses
    assert found is not None and losses is not None
    again, (scope, node) = losses.again[address], found
    if turn.run.paused:
        return
    more = scope.rare()
    more.attempts = more.attempts or {}
    more.attempts[node.slot] = scope.attempt(node.slot) + 1
    again.attempt, again.out = more.attempts[node.slot], True
    turn.effects.append(task(turn.run, scope, node))


def _go_on_if_ready(turn: Turn, address: Activation) -> None:
    """Begin the next attempt of an activation that waits for no producer any more."""
    losses = turn.run.rare().losses
    assert losses is not None
    if losses.lost[address].needs:
        return
    if address in losses.again:
        _execute(turn, address)
        return
    found = turn.run.find(address)
    if found is not None and found[0].cells[found[1].slot] == RETRYING:
        found[0].cells[found[1].slot] = READY
        turn.queue.append(found)


# --- what comes of it


def _take(turn: Turn, losses: Losses, record: Completion) -> str:
    """Take in how an execution ended. Why nothing can come of it, "" if something can."""
    address = record.activation
    found = _standing(turn.run, address)
    if found is None or found[0].cells[found[1].slot] != COMPLETED:
        return "the node that made it was given up meanwhile"
    scope, node = found
    name = node.id.removesuffix("~")
    if record.error is not None and record.error.type == TYPE:
        reason = _wait(turn, address, record.error)
        if not reason:
            _go_on_if_ready(turn, address)
        return reason and f"{name!r} made it and was executed again, but its own input is lost: {reason}"
    if record.error is not None:
        return f"{name!r} made it and was executed again, but failed: {record.error.type}: {record.error.message}"
    if record.port != node.ports[scope.cells[3 * scope.plan.size + node.slot]]:
        return f"{name!r} made it, but when it was executed again it went by port {record.port!r}"
    if not _replace_output(losses, scope, node, record.output, turn.run):
        return f"{name!r} made it, but when it was executed again it put out no value"
    _made_again(turn, losses, address)
    return ""


def _replace_output(losses: Losses, scope: Scope, node: PlanNode, output: Payload, run: Run) -> bool:
    """Put the new output in the place of the old one, and its values in the place of the refs that the node had put out."""
    try:
        old, new = decode(scope.output(node.slot)), decode(output) if is_whole(output) else None
    except UnreadablePayload:
        return False
    address = activation(scope, node)
    own = [(path, ref) for path, ref in _refs(old, ()) if run.is_own(ref.run) and (ref.activation, ref.path) == (address, ())]
    losses.relocate([(ref, value) for path, ref in own if (value := get(new, path)) is not MISSING])
    scope.put(node.slot, output)
    return is_whole(output)


def _refs(value: Any, path: Path) -> Iterator[tuple[Path, Ref]]:
    """The refs in a value, with their places."""
    if type(value) is Ref:
        yield path, value
    elif isinstance(value, (dict, list)):
        for step, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _refs(item, (*path, step))


def _made_again(turn: Turn, losses: Losses, address: Activation) -> None:
    waiters = losses.waiting_for(address)
    losses.moved[address] = losses.again.pop(address).attempt
    losses.lost.pop(address, None)
    for waiter in waiters:
        losses.lost[waiter].needs.remove(address)
        _go_on_if_ready(turn, waiter)


def _give_up_on(turn: Turn, losses: Losses, producer: Activation, reason: str) -> None:
    """The producer makes nothing again: whoever waits for it, or for somebody who does, fails for good."""
    ahead = [producer]
    while ahead:
        address = ahead.pop()
        waiters = losses.waiting_for(address)
        losses.again.pop(address, None)
        turn.call_off(address)
        ahead += [waiter for waiter in waiters if waiter in losses.again]
        for waiter in waiters:
            if waiter in losses.lost and waiter not in losses.again:  # it may have ended by the failure of another
                _fail(turn, waiter, reason)


def _fail(turn: Turn, address: Activation, reason: str) -> None:
    turn.call_off(address)
    found = turn.run.find(address)
    assert found is not None
    scope, node = found
    error = scope.more.errors.get(node.slot) if scope.more is not None and scope.more.errors else None
    failure.attempt_failed(turn, scope, node, _for_good(error or Error(TYPE, "a payload is lost"), reason))


def _for_good(error: Error, reason: str) -> Error:
    return Error(TYPE, f"{error.message}; {reason}", False, error.node, error.attempts, error.details)
