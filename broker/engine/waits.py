"""Waits: timers, approvals, signals, events and children, and the records that end them.

A signal or event that comes before anybody waits for it is kept, up to a bound, and handed to the first who does. One with
an id is applied once, however often it is delivered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ...schemas import payload as payloads
from ...schemas.effects import Await, Outcome, StartChild
from ...schemas.flow.control_configs import WaitConfig
from ...schemas.limits import DURATION_MS_MAX
from ...schemas.payload import Payload
from ...schemas.plan.plan import PlanNode
from ...schemas.records import ChildEnded, Error, EventReceived, SignalReceived
from ...schemas.ref import ValueElsewhere
from ...schemas.selectors import parse_path
from ...schemas.values import MISSING, get, to_number, to_text
from . import elsewhere, failure
from .answers import APPROVE, Answer, answer_of, decoded, misfit, of_timeout, text_of
from .event_waits import matches
from .reading import at_hand, node_input, render
from .routing import complete
from .state import WAITING, Run, Scope, Wait, activation
from .turn import Turn

EARLY_MAX = 1_000
"""Early signals or events that a run keeps per name; more are ignored and counted."""

EARLY_NAMES_MAX = 1_000
"""Names for which a run keeps early signals, or events."""

SEEN_MAX = 10_000
"""Ids of signals and events that a run remembers, the last ones; a repetition comes sooner or from a log."""

APPROVAL, SIGNAL, EVENT, TIMER, CHILD = "approval", "signal", "event", "timer", "child"


def start_delay(turn: Turn, scope: Scope, node: PlanNode) -> None:
    duration = to_number(render(turn.run, scope, node)["duration_ms"])
    if duration is None or not 0 <= duration <= DURATION_MS_MAX:
        failure.attempt_failed(
            turn, scope, node, Error("invalid_config", "`duration_ms` is not a number of milliseconds up to a hundred years", False)
        )
        return
    _wait(turn, scope, node, Wait(TIMER, ""))
    turn.set_timer(scope, node, "delay", turn.now + int(duration))


def start_wait(turn: Turn, scope: Scope, node: PlanNode) -> None:
    config: WaitConfig = node.config
    values = render(turn.run, scope, node)
    kind = APPROVAL if config.hook_id is not None else SIGNAL if config.signal is not None else EVENT if config.event is not None else TIMER
    name = to_text(values[{APPROVAL: "hook_id", SIGNAL: "signal", EVENT: "event"}[kind]]) or "" if kind != TIMER else ""
    correlate = tuple((path, to_text(value) or "") for path, value in (values.get("correlate") or {}).items())
    wait = Wait(kind, name, correlate)
    early = _take_early(turn, config, wait)
    if early is not None:
        _answer(turn, scope, node, wait, early)
        return
    _wait(turn, scope, node, wait)
    due = None if config.due_after_ms is None else turn.now + config.due_after_ms
    if due is not None:
        turn.set_timer(scope, node, "wait", due)
    if kind != TIMER:
        address = activation(scope, node)
        turn.run.rare().awaiting.setdefault((kind, name), []).append(address)
        turn.effects.append(asked(turn.run, scope, node, wait, due))


def start_child(turn: Turn, scope: Scope, node: PlanNode) -> None:
    request = child_request(turn.run, scope, node)
    turn.effects.append(request)
    if request.detached:
        complete(turn, scope, node, node.ports.index("out"), payloads.encode({"run_id": request.child}))
        return
    _wait(turn, scope, node, Wait(CHILD, request.child))


def child_request(run: Run, scope: Scope, node: PlanNode) -> StartChild:
    """The request for a sub-flow's run. The child's id is made of the parent's, so that asking twice starts one."""
    values = render(run, scope, node)
    attempt, address = scope.attempt(node.slot), activation(scope, node)
    place = "".join(f"[{step}]" for step in address[1:])
    child = f"{run.id}.{node.id}{place}" + (f".{attempt}" if attempt > 1 else "")
    value = payloads.encode(values["input"]) if node.config.input is not None else node_input(run, scope, node)
    version = at_hand(values["version"])
    return StartChild(run.id, address, attempt, child, str(values["flow"]), version, value, bool(values["detached"]))


def timer_fired(turn: Turn, scope: Scope, node: PlanNode, purpose: str) -> None:
    """The delay or the timeout of a waiting node is over."""
    in_vain = Outcome(node.config.timeout_action, turn.now, timed_out=True) if purpose == "wait" else None
    wait = _forget(turn, scope, node, in_vain)
    if purpose == "delay":
        complete(turn, scope, node, node.ports.index("out"), node_input(turn.run, scope, node))
        return
    action = node.config.timeout_action
    if action == "fail":
        what = f"{wait.kind} {wait.name!r}" if wait is not None and wait.name else "anything"
        failure.attempt_failed(turn, scope, node, Error("timeout", f"waited in vain for {what}", True))
        return
    _hand_on(turn, scope, node, of_timeout(action), timed_out=True)


def signal_received(turn: Turn, record: SignalReceived) -> bool:
    """Hand a signal, or the answer to an approval, to who waits for it. False: the record is ignored."""
    return _once(turn, record.id and f"signal {record.name} {record.id}", lambda: _hand_over_signal(turn, record))


def event_received(turn: Turn, record: EventReceived) -> bool:
    """Hand an event to every wait whose correlation it matches; keep it for later if there is none."""
    return _once(turn, record.id and f"event {record.event} {record.id}", lambda: _hand_over_event(turn, record))


def _hand_over_signal(turn: Turn, record: SignalReceived) -> bool:
    refused = False
    for scope, node, wait in waiting_for(turn.run, record.name):
        if record.wait and wait.since != record.wait:
            continue
        refused = bool(misfit(node.config, record.payload))
        if not refused:
            _answer(turn, scope, node, wait, record.payload, record.id)
            return True
    if refused or record.wait or (APPROVAL, record.name) in turn.run.rare().awaiting:
        return False  # it is nothing that they wait for, and they wait now
    return _keep_early(turn.run.rare().signals, record.name, record.payload)


def waiting_for(run: Run, name: str) -> Iterator[tuple[Scope, PlanNode, Wait]]:
    """Who waits for an approval or signal of that name: approvals first, then who has waited longest."""
    rare = run.rare_
    for kind in (APPROVAL, SIGNAL) if rare is not None else ():
        for address in rare.awaiting.get((kind, name), ()):  # type: ignore[union-attr]
            found = run.find(address)
            wait = None if found is None else wait_of(*found)
            if found is not None and wait is not None:
                yield *found, wait


def wait_of(scope: Scope, node: PlanNode) -> Wait | None:
    """What an activation waits for."""
    return None if scope.more is None or not scope.more.waits else scope.more.waits.get(node.slot)


def _hand_over_event(turn: Turn, record: EventReceived) -> bool:
    waiting = list(turn.run.rare().awaiting.get((EVENT, record.event), ()))
    matched = False
    for address in waiting:
        found = turn.run.find(address)
        wait = None if found is None else wait_of(*found)
        if found is None or wait is None:
            continue
        try:
            fits = matches(record.payload, wait)
        except ValueElsewhere as error:
            matched = True
            turn.release(*found)
            failure.attempt_failed(turn, *found, _unmatched(record, wait, error))
            continue
        if fits:
            matched = True
            _answer(turn, *found, wait, record.payload)
    return matched or _keep_early(turn.run.rare().events, record.event, record.payload)


def _unmatched(record: EventReceived, wait: Wait, error: ValueElsewhere) -> Error:
    """An event came whose correlation nobody here can read. Waiting on could mean to wait for ever."""
    fields = ", ".join(f"`{path}`" for path, _ in wait.correlate)
    what = f"event {record.event!r} is correlated by {fields}, and that lies elsewhere ({error.ref})"
    return Error(elsewhere.TYPE, f"{what}: send what events are found by as small fields of their own", False)


def child_ended(turn: Turn, scope: Scope, node: PlanNode, record: ChildEnded) -> Error | None:
    """The wait for a child is over. The error, if it did not complete: what comes of that is decided by the caller."""
    _forget(turn, scope, node)
    if record.status == "completed" and not payloads.is_whole(record.output):
        return Error("unreadable_payload", f"the output of child run {record.child} is no value", False)
    if record.status == "completed":
        complete(turn, scope, node, node.ports.index("out"), record.output)
        return None
    error = record.error or Error(record.status, f"child run {record.child} was {record.status}", False)
    return Error(error.type, error.message, error.retryable, "", 0, error.details)


def _wait(turn: Turn, scope: Scope, node: PlanNode, wait: Wait) -> None:
    scope.cells[node.slot] = WAITING
    rare = turn.run.rare()
    rare.waits_begun += 1
    wait.since = rare.waits_begun
    more = scope.rare()
    more.waits = more.waits or {}
    more.waits[node.slot] = wait
    if node.timeout_ms is not None:
        turn.set_timer(scope, node, "timeout", turn.now + node.timeout_ms)


def _forget(turn: Turn, scope: Scope, node: PlanNode, outcome: Outcome | None = None) -> Wait | None:
    wait = scope.more.waits.pop(node.slot, None) if scope.more is not None and scope.more.waits else None
    if wait is not None and wait.kind in (APPROVAL, SIGNAL, EVENT):
        turn.forget_wait(wait, activation(scope, node), outcome if wait.kind == APPROVAL else None)
    turn.clear_timer(scope, node, "timeout")
    return wait


def _answer(turn: Turn, scope: Scope, node: PlanNode, wait: Wait, payload: Payload, id: str = "") -> None:
    """Resume a wait with what it waited for, which fits."""
    answer = answer_of(payload) if wait.kind == APPROVAL else None
    turn.clear_timer(scope, node, "wait")
    outcome = None if answer is None else Outcome(answer.decision, turn.now, text_of(answer.by), text_of(answer.reason), False, id)
    _forget(turn, scope, node, outcome)
    _hand_on(turn, scope, node, answer or Answer(APPROVE, decoded(payload)))


def _hand_on(turn: Turn, scope: Scope, node: PlanNode, answer: Answer, timed_out: bool = False) -> None:
    """Complete the wait: its input and what came of it go to the next node. Who decided is only known of approvals."""
    approval = node.config.hook_id is not None
    fields = [
        ("decision", answer.decision if approval or timed_out else None),
        ("response", answer.response),
        ("reason", answer.reason),
        ("timed_out", timed_out),
        *([("by", answer.by), ("answered_at", turn.now)] if approval else []),
    ]
    head = [("input", node_input(turn.run, scope, node))]
    output = payloads.pack_map([*head, *((key, payloads.encode(value)) for key, value in fields)])
    complete(turn, scope, node, node.ports.index(answer.port), output)


def asked(run: Run, scope: Scope, node: PlanNode, wait: Wait, due: int | None) -> Await:
    """The wish to be told: for whom, with what they are to see."""
    assignees = _assignees(run, scope, node) if node.config.assignees is not None else ()
    address, metadata = activation(scope, node), wait_metadata(run, scope, node)
    return Await(run.id, address, wait.kind, wait.name, metadata, due, assignees, wait.since, wait.correlate)


def _assignees(run: Run, scope: Scope, node: PlanNode) -> tuple[str, ...]:
    found = at_hand(render(run, scope, node)["assignees"])
    return tuple(dict.fromkeys(text for each in (found if isinstance(found, list) else [found]) if (text := text_of(each))))


def wait_metadata(run: Run, scope: Scope, node: PlanNode) -> Payload:
    """What a person sees who has to decide: the named fields of the input, by their last key."""
    if not node.config.metadata_fields:
        return payloads.encode({})
    value = decoded(node_input(run, scope, node))
    paths = [parse_path(text) for text in node.config.metadata_fields]
    found = {str(path[-1]) if path else "input": get(value, path) for path in paths}
    return payloads.encode({key: item for key, item in found.items() if item is not MISSING})


def _once(turn: Turn, id: str, apply: Callable[[], bool]) -> bool:
    """Apply a delivery unless one with its id has been applied. One that was refused does not use its id up."""
    rare = turn.run.rare_
    if id and rare is not None and id in rare.seen:
        return False
    applied = apply()
    if applied and id:
        seen = turn.run.rare().seen
        seen[id] = None
        if len(seen) > SEEN_MAX:
            del seen[next(iter(seen))]
    return applied


def _take_early(turn: Turn, config: WaitConfig, wait: Wait) -> Payload | None:
    rare = turn.run.rare_
    if rare is None or wait.kind == TIMER:
        return None
    kept = (rare.events if wait.kind == EVENT else rare.signals).get(wait.name, [])
    for place, payload in enumerate(kept):
        if matches(payload, wait) if wait.kind == EVENT else not misfit(config, payload):
            return kept.pop(place)
    return None


def _keep_early(kept: dict[str, list[Payload]], name: str, payload: Payload) -> bool:
    waiting = kept.get(name, [])
    if len(waiting) >= EARLY_MAX or (name not in kept and len(kept) >= EARLY_NAMES_MAX) or not payloads.is_whole(payload):
        return False
    kept.setdefault(name, []).append(payload)
    return True
