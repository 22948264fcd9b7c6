"""Slots: a run keeps to its limits. It asks for what it needs, goes on when it is granted, and gives back what it no longer needs.

    the run        queued ─asks for one limit after the other─▶ entered ────────────────────▶ ended: all given back
    an activation  READY ─asks─▶ WAITING ─granted─▶ READY ─▶ RUNNING ─attempt ended in any way─▶ given back

Limits are asked in the order of their ids, rates last, so that runs never wait for each other in a circle. A grant that nobody here waits
for is given back at once. What becomes of questions is the gates' matter (gate.py).
"""

from __future__ import annotations

import hashlib

from ...schemas.effects import ReleaseSlot, SetTimer
from ...schemas.plan.binding import lookup
from ...schemas.plan.plan import Binding, PlanNode
from ...schemas.plan.run_limits import RunLimit
from ...schemas.records import Error, SlotGranted
from ...schemas.ref import ValueElsewhere
from ...schemas.values import to_number, to_text
from . import failure
from .beginning import enter
from .claims import Ask, Claims, NodeClaim, RunClaim, node_claims, run_claim, want_for_node, want_for_run
from .gate import LIMIT_REACHED
from .outstanding import outstanding
from .reading import collect_needs
from .run_timers import RUN, SLOT, run_timers
from .state import READY, RUNNING, WAITING, Run, Scope, activation
from .turn import Turn

KEY_MAX = 200
"""Characters of a key that stand in a limit's id as they are."""
PRIORITY_MAX = 2**31 - 1


# --- the run's own


def begin(turn: Turn) -> None:
    """Let a new run enter, or queue at its first limit."""
    run = turn.run
    try:
        claim = _claim(run)
    except ValueElsewhere as error:
        what = f"a key, the priority or the fairness of its limits lies elsewhere ({error.ref})"
        turn.effects += run_timers(run)
        _fail(turn, Error("value_elsewhere", f"{what}: send it as a small field of its own", False))
        return
    if claim is not None:
        run.rare().claims = Claims(claim)
    turn.effects += run_timers(run)
    _go_on(turn, claim)


def _claim(run: Run) -> RunClaim | None:
    """What the run has to ask for, rendered once; None: nothing, and its nodes wait nowhere with a priority."""
    limits = run.plan.run_limits
    assert limits is not None
    asks = [Ask(_limit_id(run, limit), limit.most, limit.on_limit, limit.per_ms, limit.burst) for limit in limits.limits]
    asks.sort(key=lambda ask: (ask.per_ms > 0, ask.limit))
    priority = limits.priority if isinstance(limits.priority, int) else _priority(_rendered(run, limits.priority))
    fair = "" if limits.fairness is None else _key_text(_rendered(run, limits.fairness))
    return RunClaim(asks, run.life, priority, fair) if asks or priority or fair else None


def _priority(value: object) -> int:
    """A whole number of 32 bits; 0 for all else."""
    number = to_number(value)
    return int(number) if number is not None and abs(number) <= PRIORITY_MAX and number == int(number) else 0


def _limit_id(run: Run, limit: RunLimit) -> str:
    return limit.prefix + ("" if limit.key is None else _key_text(_rendered(run, limit.key)))


def _rendered(run: Run, binding: Binding) -> object:
    needs = collect_needs(run, run.root, binding.needs)
    return binding.template.render(lookup(run.plan, binding.roots, needs, run.id, ()))


def _key_text(value: object) -> str:
    """A key as a part of a limit's id. Raises ValueElsewhere."""
    text = to_text(value) or ""
    return text if len(text) <= KEY_MAX else hashlib.sha256(text.encode()).hexdigest()


def _go_on(turn: Turn, claim: RunClaim | None) -> None:
    """Ask for the next slot, or enter if there is none left to ask for."""
    if claim is not None and claim.place < len(claim.asks):
        turn.effects.append(want_for_run(turn.run, claim))
        return
    if claim is not None:
        claim.entered_at = max(turn.now, 1)
        turn.effects += [timer for timer in run_timers(turn.run) if timer.timer.purpose == RUN]
    if claim is not None and claim.begun:
        _go_on_again(turn)
        return
    if claim is not None:
        claim.begun = True
    enter(turn)


def _go_on_again(turn: Turn) -> None:
    """A reopened run has its slots again: what it was at is given out, and what stood still starts."""
    run = turn.run
    turn.effects += [effect for effect in outstanding(run) if type(effect) is not SetTimer]  # timers went on meanwhile
    for scope in run.scopes():
        for index in scope.plan.nodes:
            if scope.cells[run.plan.nodes[index].slot] == READY:
                turn.queue.append((scope, run.plan.nodes[index]))


def _run_granted(turn: Turn, record: SlotGranted) -> bool:
    run, claim = turn.run, run_claim(turn.run)
    if claim is None or record.attempt != claim.attempt or run.status != "running" or not claim.waits_for(record.limit):
        is_repetition = claim is not None and record.attempt == claim.attempt and claim.holds(record.limit)
        return False if is_repetition else _give_back_stale(turn, record)
    ask = claim.asks[claim.place]
    if record.refused:
        claim.refused = True
        _fail(turn, Error("limit_reached", f"{_rule(ask.most, ask.per_ms)} of limit {ask.limit}, and there is no place", False))
        return True
    if ask.per_ms:  # its place in time is its own now, there is nothing to hold
        turn.effects.append(ReleaseSlot(run.id, (), claim.attempt, ask.limit))
        if record.not_before > turn.now:
            claim.due = record.not_before
            turn.effects += [timer for timer in run_timers(run) if timer.timer.purpose == SLOT]
            return True
    claim.place += 1
    _go_on(turn, claim)
    return True


def turn_has_come(turn: Turn) -> None:
    """The time that a rate has told the run is there."""
    claim = run_claim(turn.run)
    assert claim is not None
    claim.due = 0
    claim.place += 1
    _go_on(turn, claim)


def _fail(turn: Turn, error: Error) -> None:
    failure.end_run(turn, "failed", error)


def _rule(most: int, per_ms: int) -> str:
    return f"{most} per {per_ms} ms begin" if per_ms else f"{most} at a time is all"


# --- those of activations


def start(turn: Turn, scope: Scope, node: PlanNode) -> bool:
    """Whether the attempt has its slot. If not, it is asked for, and the activation waits."""
    run, address = turn.run, activation(scope, node)
    attempt = scope.attempt(node.slot)
    claim = node_claims(run).get(address)
    if claim is not None and claim.attempt == attempt and claim.granted:
        return True
    claims = run.rare().claims = run.rare().claims or Claims()
    claim = claims.nodes[address] = NodeClaim(_node_limit(run, scope, node), attempt)
    scope.cells[node.slot] = WAITING
    turn.effects.append(want_for_node(run, address, claim))
    return False


def _node_limit(run: Run, scope: Scope, node: PlanNode) -> str:
    key, binding = "", node.concurrency_key
    if binding is not None:
        needs = collect_needs(run, scope, binding.needs)
        key = _key_text(binding.template.render(lookup(run.plan, binding.roots, needs, run.id, activation(scope, node))))
    return f"=node:{run.plan.name}.{node.id}:{key}"


def granted(turn: Turn, record: SlotGranted) -> bool:
    """A gate has answered. False: nobody waits for that (any more), and it was given back."""
    if not record.activation:
        return _run_granted(turn, record)
    claim, found = node_claims(turn.run).get(record.activation), turn.run.find(record.activation)
    if claim is None or found is None or (claim.attempt, claim.limit) != (record.attempt, record.limit):
        return _give_back_stale(turn, record)
    scope, node = found
    if record.refused:
        _refused(turn, scope, node, claim, record.refused)
    elif claim.granted:
        return False
    else:
        claim.granted = True
        scope.cells[node.slot] = READY
        turn.queue.append((scope, node))
    return True


def _refused(turn: Turn, scope: Scope, node: PlanNode, claim: NodeClaim, why: str) -> None:
    """There is no slot for the attempt, or it had one and a newer one takes its place."""
    full = why == LIMIT_REACHED
    what = f"{node.concurrency.max if node.concurrency is not None else 0} at a time is all of limit {claim.limit}"
    message = f"{what}, and there is no place" if full else f"{what}, and a newer one took its place"
    if full:
        del node_claims(turn.run)[activation(scope, node)]  # it never had a place to give back
    turn.release(scope, node)
    # One that was driven out is not tried again: it would drive out the one that took its place.
    failure.attempt_failed(turn, scope, node, Error("concurrency_limit", message, full))


def _give_back_stale(turn: Turn, record: SlotGranted) -> bool:
    if not record.refused:
        turn.effects.append(ReleaseSlot(record.run, record.activation, record.attempt, record.limit))
    return False


# --- a run that goes on after its end


def reopened(run: Run) -> None:
    """All slots were given back at the run's end: it asks for them anew, and what was out with one waits for one."""
    claims = None if run.rare_ is None else run.rare_.claims
    if claims is None:
        return
    if claims.run is not None:
        claims.run.attempt, claims.run.place, claims.run.due, claims.run.refused = run.life, 0, 0, False
        claims.run.entered_at = 0 if claims.run.asks else run.times_from
    for address, claim in claims.nodes.items():
        found = run.find(address)
        if found is not None:
            scope, node = found
            claim.granted, claim.attempt = False, scope.attempt(node.slot)
            scope.cells[node.slot] = WAITING if scope.cells[node.slot] in (READY, RUNNING) else scope.cells[node.slot]
