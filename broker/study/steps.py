"""Steps: a journal, record by record: what each record changed, and what the engine asked for because of it.

Guarantees: the run of the last step is the fold of the journal; nothing but the plan and the records is needed.
Does not: touch anything. Effects are only looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from ...schemas.effects import ClearTimer, Effect, SetTimer
from ...schemas.errors import JetfleetError, UnreadableRecord
from ...schemas.plan.plan import Plan
from ...schemas.records import Activation, ChildEnded, Completion, Record, RunReopened, RunStarted, SlotGranted, TimerFired
from ..engine import Run, Status, begin, decide, reopen
from ..engine.inspection import key
from ..engine.state import PENDING, Body, LoopBody, Path, Scope

LOCAL = (Completion, TimerFired, ChildEnded, SlotGranted)
"""Records of one activation; any other may change all of a run."""
OF_ONE_NODE = frozenset(("retry", "wait", "delay"))
"""Purposes of timers."""


class ReplayFailed(JetfleetError):
    """A record makes the engine itself fail: the journal does not belong to this flow, or jetfleet has a defect."""

    code = "REPLAY_FAILED"


@dataclass(frozen=True, slots=True)
class Change:
    """What a record did to an activation, or to the run as a whole (`node` is `run`): its status before and after."""

    node: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.node}: {self.before} → {self.after}"


@dataclass(frozen=True, slots=True)
class Step:
    """`number` counts from 0. `ignored`: the record meant nothing. `run` is one object that goes on changing: look at it at once."""

    number: int
    record: Record
    changes: tuple[Change, ...]
    effects: tuple[Effect, ...]
    ignored: bool
    run: Run


def steps(plan: Plan, journal: Sequence[Record]) -> Iterator[Step]:
    """The steps of a journal. Raises UnreadableRecord for what is no journal, ReplayFailed."""
    watch = _Statuses()
    run: Run | None = None
    for number, record in enumerate(journal):
        ignored = 0 if run is None else run.ignored
        try:
            run, effects = _taken_in(plan, journal, number, record, run)
        except JetfleetError:
            raise
        except Exception as error:
            what = f"{type(record).__name__}, record {number}, makes the engine fail: {type(error).__name__}: {error}"
            raise ReplayFailed(f"{what}; is this the journal of flow {plan.name!r}, {plan.digest[:12]}?") from error
        changes = tuple(watch.changes(run, _near(run, record, effects)))
        yield Step(number, record, changes, tuple(effects), run.ignored > ignored, run)


def record_number_at(journal: Sequence[Record], at_ms: int) -> int:
    """How many records had been taken in at that time, 0 if the run had not begun. A late clock of one record holds up those behind it."""
    times: list[int] = []
    for record in journal:
        times.append(max(record.at, times[-1]) if times else record.at)
    return bisect_right(times, at_ms)


def _taken_in(plan: Plan, journal: Sequence[Record], number: int, record: Record, run: Run | None) -> tuple[Run, list[Effect]]:
    if run is not None:
        if isinstance(record, RunReopened) and record.after == number:
            return reopen(plan, journal, record, keep=True)
        return run, decide(run, record)
    if not isinstance(record, RunStarted):
        raise UnreadableRecord(f"the journal begins with {type(record).__name__}, not with RunStarted")
    return begin(plan, record, keep=True)


def _near(run: Run, record: Record, effects: Sequence[Effect]) -> set[Path] | None:
    """The instances that a record can have changed, besides those that began or ended with it; None: any.

    Whatever it did to another activation shows in an effect for that one.
    """
    if run.paused or run.ended or not isinstance(record, LOCAL):
        return None
    own = record.timer.activation if isinstance(record, TimerFired) else record.activation
    if isinstance(record, TimerFired) and record.timer.purpose not in OF_ONE_NODE:
        return None
    addresses = [own, *(_activation(effect) for effect in effects)]
    return {address[1:end] for address in addresses for end in range(1, len(address) + 1)}


def _activation(effect: Effect) -> Activation:
    if isinstance(effect, (SetTimer, ClearTimer)):
        return effect.timer.activation
    return getattr(effect, "activation", ())


class _Statuses:
    """The statuses of a run's activations as they were last seen.

    Instances that have ended are looked at no more, unless something is undone, and of those that are open only what the record can have
    changed: else each record of a large split would cost a look at all of its items.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[int, Path], tuple[Scope, list[int]]] = {}
        self._kept: dict[int, int] = {}
        """How many ended instances of a body were looked at."""
        self._run = ""

    def changes(self, run: Run, near: set[Path] | None) -> Iterator[Change]:
        """What is another than before, in the order of instances and nodes. `near`: the paths of instances that can have changed."""
        status = "paused" if run.paused and not run.ended else run.status
        if status != self._run:
            yield Change("run", self._run or "–", status)
            self._run = status
        if run.rare_ is not None and run.rare_.undos:
            near = None
        found = {(scope.plan.index, scope.path()): scope for scope in self._to_look_at(run, near)}
        gone: dict[tuple[int, Path], Scope] = {}
        if near is None:  # those that are not found any more ended with this record
            gone = {address: scope for address, (scope, _) in self._seen.items() if address not in found}
        before, self._seen = self._seen, {} if near is None else self._seen
        for address, scope in (found | gone).items():
            was = before[address][1] if address in before else [PENDING] * scope.plan.size
            if address not in gone:
                self._seen[address] = scope, list(scope.cells[: scope.plan.size])
            yield from _changes(run, scope, was)

    def _to_look_at(self, run: Run, near: set[Path] | None) -> Iterator[Scope]:
        if run.rare_ is not None and run.rare_.undos:
            yield from run.scopes()
            return
        waiting = [run.root]
        while waiting:
            scope = waiting.pop()
            yield scope
            for _, body in sorted(((scope.more.bodies if scope.more is not None else None) or {}).items()):
                waiting += self._inside(body, scope.path(), near)

    def _inside(self, body: Body, path: Path, near: set[Path] | None) -> list[Scope]:
        """The instances that are open, and those that began and ended since the last look."""
        ended = len(body.kept) - self._kept.get(id(body), 0)
        self._kept[id(body)] = len(body.kept)
        found = list(islice(reversed(body.kept.values()), max(ended, 0)))
        if isinstance(body, LoopBody):
            return found if body.scope is None or body.scope in found else [*found, body.scope]
        if near is None:
            return [*found, *body.active.values()]
        began = takewhile(lambda scope: (scope.plan.index, scope.path()) not in self._seen, reversed(body.active.values()))
        depth = len(path)
        named = {each[depth] for each in near if len(each) > depth and each[:depth] == path}
        open = {scope.index: scope for scope in began} | {index: body.active[index] for index in named if index in body.active}
        return [*found, *(open[index] for index in sorted(open))]


def _changes(run: Run, scope: Scope, was: list[int]) -> Iterator[Change]:
    for slot, (one, other) in enumerate(zip(was, scope.cells, strict=False)):
        node = run.plan.nodes[scope.plan.nodes[slot]]
        if one != other and not node.hidden:
            yield Change(key(node, scope), Status(one).name.lower(), Status(other).name.lower())
