"""The state of a run: what the fold of its records has led to, in as few objects as it takes.

    Run      one execution; its terminal result once it has one
    Scope    one instance of a plan scope: the flow itself, a loop's iteration, a split's item
    More     what most instances never need (attempts beyond the first, timers, bodies, guards)
    LoopBody, SplitBody   how far a loop or split has come
    GuardState            how a try or parallel scope is doing
    Undo                  a compensation in progress

An open run of three nodes costs about three quarters of a KiB, an open item of a split a few hundred bytes: the states of an instance's
nodes and edges are one row of bytes (see `PlanScope.cells`), outputs are the payload bytes that arrived, and everything rare hangs
on `More` and `Rare`, which most instances never get.

Nothing here decides anything. Nothing outside the engine may change it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from enum import IntEnum
from typing import TypeAlias

from ...schemas.payload import NULL, ListCursor, Payload, RefCursor, cursor
from ...schemas.plan.plan import NONE, Plan, PlanNode, PlanScope
from ...schemas.records import Activation, Error
from .claims import Claims
from .losses import Losses

Path: TypeAlias = tuple[int | str, ...]


class Status(IntEnum):
    """Of an activation. From COMPLETED on it has ended, for good."""

    PENDING = 0  # its in-edges are not decided yet
    READY = 1  # its join is satisfied; it starts in this turn, or when the run is resumed
    RUNNING = 2  # its task is out
    WAITING = 3  # for a timer, a signal, an event, a child
    OPEN = 4  # its body is running
    RETRYING = 5  # for the next attempt
    COMPLETED = 6
    FAILED = 7
    SKIPPED = 8
    CANCELLED = 9


PENDING, READY, RUNNING, WAITING, OPEN, RETRYING, COMPLETED, FAILED, SKIPPED, CANCELLED = (int(status) for status in Status)

# The states of an edge.
UNDECIDED, TAKEN, DEAD = 0, 1, 2

Cells: TypeAlias = "bytearray | array[int]"


class Scope:
    """One instance of a plan scope. `index` is the iteration or item; `open` counts what must end before the instance has ended."""

    __slots__ = ("base", "cells", "index", "input", "more", "open", "outputs", "parent", "plan")

    def __init__(self, plan: PlanScope, parent: Scope | None, index: int, input: Payload, base: int = 0) -> None:
        self.plan = plan
        self.parent = parent
        self.index = index
        self.input = input
        self.base = base  # attempts that an earlier instance at this address may have used up
        template = plan.cells
        self.cells: Cells = bytearray(template) if type(template) is bytes else array("I", template)
        self.outputs: list[Payload | None] | None = None
        self.open = plan.live
        self.more: More | None = None

    def rare(self) -> More:
        if self.more is None:
            self.more = More()
        return self.more

    def path(self) -> Path:
        """The iteration of each enclosing loop and split, outermost first; empty for the root."""
        if self.parent is None:
            return ()
        return (*self.parent.path(), self.index)

    def status(self, node: PlanNode) -> int:
        return self.cells[node.slot]

    def output(self, slot: int) -> Payload:
        outputs = self.outputs
        return NULL if outputs is None or outputs[slot] is None else outputs[slot]  # type: ignore[return-value]

    def put(self, slot: int, payload: Payload) -> None:
        if self.outputs is None:
            self.outputs = [None] * self.plan.size
        self.outputs[slot] = payload

    def attempt(self, slot: int) -> int:
        first = self.base + 1
        return first if self.more is None or self.more.attempts is None else self.more.attempts.get(slot, first)

    def attempts_used(self) -> int:
        """The highest number of an attempt in this instance and in those inside it."""
        more, used = self.more, self.base + 1
        if more is None:
            return used
        if more.attempts:
            used = max(used, *more.attempts.values())
        used = max(used, *(state.attempt for state in (more.guards or {}).values()), *(more.guard_bases or {}).values(), 0)
        if more.bodies:
            used = max(used, *(body.attempts_used() for body in more.bodies.values()))
        return used

    def body(self, slot: int) -> Body | None:
        return None if self.more is None or self.more.bodies is None else self.more.bodies.get(slot)


class More:
    """The rare half of an instance."""

    __slots__ = ("arrivals", "attempts", "bases", "bodies", "errors", "guard_bases", "guards", "leaving", "timers", "waits")

    def __init__(self) -> None:
        self.attempts: dict[int, int] | None = None  # slot → attempt, where it is not the first
        self.bases: dict[int, int] | None = None  # slot → attempts used up before its guard started again
        self.timers: dict[tuple[int, str], int] | None = None  # (slot or guard, purpose) → due
        self.waits: dict[int, Wait] | None = None
        self.bodies: dict[int, Body] | None = None
        self.guards: dict[int, GuardState] | None = None
        self.guard_bases: dict[int, int] | None = None  # attempts used up by inner guards before the one around them started again
        self.arrivals: dict[int, Payload] | None = None  # edge → value, where it is not the source's output here
        self.leaving: dict[int, Payload] | None = None  # edge → value, for outer scopes and for the next iteration
        self.errors: dict[int, Error] | None = None  # slot → last error


class Wait:
    """What a waiting activation waits for. `kind`: approval, signal, event, timer or child.

    `since` numbers the run's waits: who waits longest for a signal gets it first.
    """

    __slots__ = ("correlate", "kind", "name", "since")

    def __init__(self, kind: str, name: str, correlate: tuple[tuple[str, str], ...] = (), since: int = 0) -> None:
        self.kind, self.name, self.correlate, self.since = kind, name, correlate, since


class LoopBody:
    """`scope` is the current iteration, the last one once the loop has ended; `kept` the earlier ones, if asked to keep them."""

    __slots__ = ("base", "kept", "scope", "used", "value")

    def __init__(self, base: int = 0) -> None:
        self.base = base  # of its instances
        self.used = base  # the highest attempt number in the instances that have ended
        self.scope: Scope | None = None
        self.value: Payload = NULL
        self.kept: dict[int, Scope] = {}

    def scopes(self) -> Iterator[Scope]:
        yield from (self.kept[index] for index in sorted(self.kept))
        if self.scope is not None:
            yield self.scope

    def attempts_used(self) -> int:
        return self.used if self.scope is None else max(self.used, self.scope.attempts_used())


class SplitBody:
    """How far a split is. Items are slices of `data`, or refs into it; results are joined bytes; neither is ever a list of objects.

    `position` and `offset` tell which item starts next and where its bytes begin. Results that come out of order wait in `early`.
    """

    __slots__ = (
        "active", "base", "consumed", "count", "cursor_", "data", "early", "flushed", "kept", "leaving", "offset", "position", "results",
        "total", "used",
    )  # fmt: skip

    def __init__(self, data: Payload, total: int, offset: int, base: int = 0) -> None:
        self.base = base  # of its instances
        self.used = base  # the highest attempt number in the instances that have ended
        self.data = data
        self.total = total
        self.offset = offset
        self.position = 0  # the next item or batch
        self.consumed = 0  # list items that are in the items and batches so far
        self.cursor_: ListCursor | RefCursor | None = None
        self.active: dict[int, Scope] = {}
        self.flushed = 0
        self.early: dict[int, tuple[Payload | None, dict[int, Payload] | None]] = {}
        self.results = bytearray()
        self.count = 0
        self.leaving: dict[int, tuple[int, bytearray]] = {}
        self.kept: dict[int, Scope] = {}

    def cursor(self) -> ListCursor | RefCursor:
        """Where the next item is cut from; made anew only after a restore."""
        if self.cursor_ is None:
            self.cursor_ = cursor(self.data, self.consumed, self.offset)
        return self.cursor_

    def scopes(self) -> Iterator[Scope]:
        yield from (self.kept[index] for index in sorted(self.kept))
        yield from (self.active[index] for index in sorted(self.active))

    def attempts_used(self) -> int:
        return max([self.used, *(scope.attempts_used() for scope in self.active.values())])


Body: TypeAlias = LoopBody | SplitBody


class GuardState:
    """`phase`: active → done, or → undoing → retrying → active …, or → failed. `open` counts members that have not ended."""

    __slots__ = ("attempt", "base", "error", "open", "phase")

    def __init__(self, open: int, base: int = 0) -> None:
        self.open = open
        self.phase = "active"
        self.base = base  # attempts that were used up before the guard, or the body in which it stands, started again
        self.attempt = base + 1
        self.error: Error | None = None


class Undo:
    """Compensations of a failed guard (`guard` in the scope at `path`) or of the run (`guard` is NONE).

    `todo` are the activations to undo with the outputs to undo, next one last; `running` the compensation activations that are out.
    """

    __slots__ = ("errors", "guard", "path", "running", "todo")

    def __init__(self, guard: int, path: Path, todo: list[tuple[Activation, Payload]]) -> None:
        self.guard, self.path, self.todo = guard, path, todo
        self.running: set[Activation] = set()
        self.errors: list[Error] = []


class Reopened:
    """What a run knows of its earlier lives. `at`: when the present one began; `life` numbers them, the first is 1.

    `source`: the run that it was forked or imported from; "" where it is itself. `bases`: by the activation of a loop or split whose body
    has yet to begin, how many attempts the activations in it have had in earlier lives.
    """

    __slots__ = ("at", "bases", "life", "source")

    def __init__(self, at: int, life: int, source: str = "", bases: dict[Activation, int] | None = None) -> None:
        self.at, self.life, self.source = at, life, source
        self.bases: dict[Activation, int] = {} if bases is None else bases


class Rare:
    """What most runs never need."""

    __slots__ = (
        "awaiting", "claims", "done", "ended", "events", "held_timers", "losses", "reopened", "seen", "signals", "undo_errors", "undos",
        "waits_begun", "with_flow",
    )  # fmt: skip

    def __init__(self) -> None:
        self.signals: dict[str, list[Payload]] = {}  # early ones, oldest first
        self.events: dict[str, list[Payload]] = {}
        self.seen: dict[str, None] = {}  # ids of signals and events, oldest first
        self.awaiting: dict[tuple[str, str], list[Activation]] = {}  # derived from the waits
        self.done: dict[Activation, Payload] = {}  # outputs of completed nodes that can be undone, in the order of completion
        self.undos: list[Undo] = []
        self.waits_begun = 0
        self.undo_errors: list[Error] = []  # of compensations whose guard was given up before they had ended
        self.held_timers: list[tuple[Path, str, int]] = []  # fired while the run was paused
        self.with_flow = False  # it is paused because its flow is, and nobody has paused the run itself
        self.ended = ""  # the status that the run will have when its compensations are through
        self.losses: Losses | None = None
        self.reopened: Reopened | None = None
        self.claims: Claims | None = None


class Run:
    """One execution of one plan. `status`: running, compensating, completed, failed, cancelled or killed."""

    __slots__ = (
        "error", "id", "ignored", "keep", "meta", "output", "parent", "paused",
        "plan", "rare_", "records", "root", "started_at", "status", "trigger", "updated_at",
    )  # fmt: skip

    def __init__(self, id: str, plan: Plan, started_at: int, trigger: str | None, payload: Payload, meta: Payload) -> None:
        self.id = id
        self.plan = plan
        self.status = "running"
        self.started_at = started_at
        self.updated_at = started_at
        self.trigger = trigger
        self.meta = meta
        self.parent: tuple[str, tuple[int | str, ...]] | None = None
        self.root = Scope(plan.scopes[0], None, 0, payload)
        self.records = 1
        self.ignored = 0
        self.paused = False
        self.keep = False
        self.error: Error | None = None
        self.output: Payload = NULL
        self.rare_: Rare | None = None

    @property
    def ended(self) -> bool:
        return self.status not in ("running", "compensating")

    @property
    def paused_with_flow(self) -> bool:
        """Whether it is paused because its flow is, and for no other reason."""
        return self.rare_ is not None and self.rare_.with_flow

    def rare(self) -> Rare:
        if self.rare_ is None:
            self.rare_ = Rare()
        return self.rare_

    @property
    def times_from(self) -> int:
        """From when its own timeout counts, in ms since the epoch: its start, or when it was reopened last."""
        return self.started_at if self.rare_ is None or self.rare_.reopened is None else self.rare_.reopened.at

    @property
    def life(self) -> int:
        """1, and one more each time that it was reopened."""
        return 1 if self.rare_ is None or self.rare_.reopened is None else self.rare_.reopened.life

    @property
    def source(self) -> str:
        """The run that this one was forked or imported from; "" where it was started here."""
        return "" if self.rare_ is None or self.rare_.reopened is None else self.rare_.reopened.source

    def is_own(self, run: str) -> bool:
        """Whether what this run has made is meant: it itself, or the run that it was forked from."""
        return run == self.id or (run != "" and run == self.source)

    def find(self, activation: Activation) -> tuple[Scope, PlanNode] | None:
        """The instance and node of an activation; None if there is no such node, or its instance is gone."""
        if not activation or type(activation[0]) is not int or not 0 <= activation[0] < len(self.plan.nodes):
            return None
        node = self.plan.nodes[activation[0]]
        scope = self.scope_at(node.scope, activation[1:])
        return None if scope is None else (scope, node)

    def scope_at(self, index: int, path: Path) -> Scope | None:
        """The instance of a plan scope with these iterations."""
        if index == 0:
            return None if path else self.root
        plan = self.plan.scopes[index]
        if len(path) != plan.depth:
            return None
        around = self.scope_at(plan.parent, path[:-1])
        body = None if around is None else around.body(self.plan.nodes[plan.owner].slot)
        if isinstance(body, LoopBody):
            current = body.scope
            return current if current is not None and current.index == path[-1] else body.kept.get(path[-1])  # type: ignore[arg-type]
        if body is not None:
            return body.active.get(path[-1]) or body.kept.get(path[-1])  # type: ignore[arg-type]
        return None

    def scopes(self) -> Iterator[Scope]:
        """All instances that exist, outer ones first."""
        waiting = [self.root]
        while waiting:
            scope = waiting.pop()
            yield scope
            if scope.more is not None and scope.more.bodies is not None:
                # By slot and not by age, so that a restored run goes through them in the same order.
                waiting += [inner for _, body in sorted(scope.more.bodies.items()) for inner in body.scopes()]

    def dissolve(self) -> None:
        """Break the circles of instances and those around them: nobody looks at this run again, and its memory is free at once."""
        if self.root.more is not None and self.root.more.bodies is not None:
            for scope in list(self.scopes()):
                scope.parent = None


def activation(scope: Scope, node: PlanNode) -> Activation:
    """The address of a node in an instance."""
    return (node.index,) if scope.parent is None else (node.index, *scope.path())


__all__ = [
    "CANCELLED", "COMPLETED", "DEAD", "FAILED", "NONE", "OPEN", "PENDING", "READY", "RETRYING", "RUNNING", "SKIPPED", "TAKEN",
    "UNDECIDED", "WAITING",
    "Body", "GuardState", "LoopBody", "More", "Rare", "Reopened", "Run", "Scope", "SplitBody", "Status", "Undo", "Wait", "activation",
]  # fmt: skip
