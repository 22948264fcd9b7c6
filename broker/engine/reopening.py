"""Reopening: which records of a journal do not count when its run goes on.

    to_retry(plan, journal)         what made it fail, and what came of that: all that was completed stays
    to_fork(plan, journal, node)    as if that activation had not ended yet, and what to_retry drops

Nothing downstream has to be found: a record for an activation that never starts means nothing. Signals and events are another matter, since
early ones are kept: a fork drops those that came after its activation first ended.

What was undone is done again, and so is what had followed from it. Failures that somebody handled (an error edge, a scope's handler, a
split that collects them) stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...schemas.errors import JetfleetError
from ...schemas.flow.node_types import Kind
from ...schemas.plan.plan import NONE, Plan, PlanNode
from ...schemas.records import (
    Activation,
    CancelRequested,
    ChildEnded,
    Completion,
    EventReceived,
    PauseRequested,
    Record,
    SignalReceived,
    SlotGranted,
    TimerFired,
)
from .escapes import escapes, gets_out_of, was_undone_inside
from .folding import Folding, fold
from .inspection import key, nodes
from .run_timers import RUN, TTL
from .state import CANCELLED, COMPLETED, FAILED, PENDING, READY, SKIPPED, Run, Scope, activation

RUN_TIMEOUTS = (RUN, TTL)
GUARD_TIMERS = ("scope", "scope_retry")
BODIES = (Kind.LOOP, Kind.SPLIT)
BY_RECORD = (Kind.TASK, Kind.WAIT, Kind.DELAY, Kind.SUBFLOW)
"""Kinds that always end by a record of their own."""


class NeverRan(JetfleetError):
    """The node that a run is to be forked at did not run in it."""

    code = "NEVER_RAN"

    def __init__(self, run: str, node: str, ran: Sequence[str]) -> None:
        some = ", ".join(ran[:20]) + (f" and {len(ran) - 20} more" if len(ran) > 20 else "")
        super().__init__(f"node {node!r} did not run in {run}; these did: {some or 'none'}")


def to_retry(plan: Plan, journal: Sequence[Record]) -> tuple[int, ...]:
    """The numbers of the records that do not count when the run is tried again. Raises UnreadableRecord for what is no journal."""
    failures = Failures(fold(plan, journal, keep=True))
    return tuple(place for place, record in enumerate(journal) if failures.came_by(record))


def to_fork(plan: Plan, journal: Sequence[Record], node: str) -> tuple[int, ...]:
    """… when it goes on from a node: `charge`, `charge[2]`; without an index the first that ran.

    Raises NeverRan, with what did run; UnreadableRecord.
    """
    run = fold(plan, journal, keep=True)
    scope, found = _find(run, node)
    again = Again(run, scope, found)
    failures = Failures(run)
    begun = _first(plan, journal, again.address, ended=found.kind not in BODIES)
    return tuple(
        place
        for place, record in enumerate(journal)
        if failures.came_by(record) or again.is_about(record) or (place >= begun and again.is_later(record))
    )


class Failures:
    """What made a run fail, and what was given up or undone because of it. `run` is folded with `keep`."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._begun_after: dict[Activation, int] = {}
        """Activations to begin anew, and the attempts before: an earlier try of the scope around them, which counts."""
        self._timers: set[tuple[Activation, str, int]] = set()
        """Timeouts that made something fail."""
        for scope in run.scopes():
            for index in scope.plan.nodes:
                self._look_at(scope, run.plan.nodes[index])
            self._look_at_guards(scope)

    def came_by(self, record: Record) -> bool:
        """Whether the record led to the failure, or followed from it."""
        match record:
            case CancelRequested() | PauseRequested():
                return True
            case TimerFired(timer=timer) if timer.purpose in RUN_TIMEOUTS or timer.purpose in GUARD_TIMERS:
                return timer.purpose in RUN_TIMEOUTS or (timer.activation, timer.purpose, timer.attempt) in self._timers
            case TimerFired(timer=timer):
                return self._is_anew(timer.activation, timer.attempt) or (timer.activation, timer.purpose, timer.attempt) in self._timers
            case ChildEnded():
                return self._is_anew(record.activation, _attempt_of_child(self._run, record))
            case SlotGranted(activation=()):
                return bool(record.refused)
            case Completion() | SlotGranted():
                return self._is_anew(record.activation, record.attempt)
        return False

    def _is_anew(self, address: Activation, attempt: int) -> bool:
        return attempt > self._begun_after.get(address, attempt)

    def _look_at(self, scope: Scope, node: PlanNode) -> None:
        status = scope.cells[node.slot]
        if status == FAILED and node.compensates == NONE and escapes(self._run, scope, node):
            if node.kind in BODIES:  # what failed is in its body; else it took too long
                self._timers.add((activation(scope, node), "timeout", scope.attempt(node.slot)))
            else:
                self._begin_anew(scope, node)
        elif status == CANCELLED and node.compensates == NONE and node.kind not in BODIES:
            self._begin_anew(scope, node)
        elif status == COMPLETED and node.compensate != NONE and self._was_undone(scope, node):
            self._begin_anew(scope, node)
            self._begin_anew(scope, self._run.plan.nodes[node.compensate])

    def _look_at_guards(self, scope: Scope) -> None:
        for index, state in ((scope.more.guards if scope.more is not None else None) or {}).items():
            if state.phase == "failed" and gets_out_of(self._run, scope, index):
                self._timers.add(((index, *scope.path()), "scope", state.attempt))

    def _was_undone(self, scope: Scope, node: PlanNode) -> bool:
        done = self._run.rare().done
        undo = self._run.plan.nodes[node.compensate]
        begun = scope.cells[undo.slot] not in (PENDING, READY)
        return begun and activation(scope, node) not in done and not was_undone_inside(self._run, scope, node)

    def _begin_anew(self, scope: Scope, node: PlanNode) -> None:
        bases = (scope.more.bases if scope.more is not None else None) or {}
        self._begun_after[activation(scope, node)] = bases.get(node.slot, scope.base)


class Again:
    """One activation that is to happen again, with what stands around it."""

    def __init__(self, run: Run, scope: Scope, node: PlanNode) -> None:
        self.address = activation(scope, node)
        self._path = self.address[1:]
        self._nodes = _ended_by(run.plan, node)
        self._guards = {(guard, *at.path()) for at, guard in _guards_around(run, scope, node)}
        self._owners = {activation(at, owner) for at, owner in _owners_around(run, scope)}

    def is_about(self, record: Record) -> bool:
        """Whether the record is of this activation; of one that has none itself, of what ends by them."""
        if isinstance(record, TimerFired):
            address = () if record.timer.purpose in GUARD_TIMERS else record.timer.activation
        elif isinstance(record, (Completion, ChildEnded, SlotGranted)):
            address = record.activation
        else:
            return False
        return bool(address) and address[0] in self._nodes and all(a == b for a, b in zip(address[1:], self._path, strict=False))

    def is_later(self, record: Record) -> bool:
        """Whether the record, which came later, may only count if it comes once more: a message, or a timeout of what is around."""
        if isinstance(record, TimerFired):
            around = self._guards if record.timer.purpose in GUARD_TIMERS else self._owners
            return record.timer.activation in around
        return isinstance(record, (SignalReceived, EventReceived))


def _find(run: Run, name: str) -> tuple[Scope, PlanNode]:
    """The activation of that name; without an index the first instance that ran."""
    ran = [place for place, view in nodes(run).items() if view.attempts and view.status != "skipped"]
    chosen = next((place for place in ran if name in (place, place.partition("[")[0])), None)
    for scope in run.scopes() if chosen is not None else ():
        for index in scope.plan.nodes:
            if not run.plan.nodes[index].hidden and key(run.plan.nodes[index], scope) == chosen:
                return scope, run.plan.nodes[index]
    raise NeverRan(run.id, name, ran)


def _first(plan: Plan, journal: Sequence[Record], address: Activation, ended: bool) -> int:
    """The number of the record by which the activation ended for the first time, or began."""
    not_yet = (PENDING, READY) if not ended else tuple(range(COMPLETED))
    for place, run in Folding(plan, journal).states(len(journal), keep=True):
        found = run.find(address)
        if found is not None and found[0].cells[found[1].slot] not in (*not_yet, SKIPPED):
            return place
    return len(journal)


def _ended_by(plan: Plan, node: PlanNode) -> set[int]:
    """The nodes whose records have to go, so that this one happens again: itself, its body, or what follows where the engine decides."""
    found: set[int] = set()
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.index in found:
            continue
        found.add(each.index)
        if each.kind in BODIES:
            found.update(inner.index for inner in plan.nodes if _is_in_body(plan, inner, each))
        elif each.kind not in BY_RECORD:
            waiting += [plan.nodes[edge.target] for edges in each.outs for edge in edges]
    return found


def _is_in_body(plan: Plan, node: PlanNode, owner: PlanNode) -> bool:
    scope = node.scope
    while scope != 0:
        if scope == owner.body:
            return True
        scope = plan.scopes[scope].parent
    return False


def _guards_around(run: Run, scope: Scope, node: PlanNode) -> Iterator[tuple[Scope, int]]:
    for at, inner in ((scope, node), *_owners_around(run, scope)):
        guard = inner.guard
        while guard != NONE:
            yield at, guard
            guard = run.plan.guards[guard].parent


def _owners_around(run: Run, scope: Scope) -> Iterator[tuple[Scope, PlanNode]]:
    """The loops and splits in whose bodies the instance stands, innermost first, with their instances."""
    while scope.parent is not None:
        yield scope.parent, run.plan.nodes[scope.plan.owner]
        scope = scope.parent


def _attempt_of_child(run: Run, record: ChildEnded) -> int:
    """The attempt of the sub-flow node whose child it is: the record does not say, the child's id does."""
    node = run.plan.nodes[int(record.activation[0])] if record.activation else None
    name = "" if node is None else f"{run.id}.{node.id}" + "".join(f"[{step}]" for step in record.activation[1:])
    rest = record.child.removeprefix(name)
    return int(rest[1:]) if rest[:1] == "." and rest[1:].isdecimal() and len(rest) < 10 else 1
