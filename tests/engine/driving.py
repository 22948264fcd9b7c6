"""Driving the engine by hand: a run, what it asked for, and the journal of what it was told.

A test starts a run from a flow's text or dict, sees what is out (`open`, `timers`, `awaiting`, `children`), and answers in the order
it likes. Activations go by the names of the status listing: `w`, `w[0]`, `w[1][3]`.

Every turn is checked for what must hold in any run: no attempt is dispatched twice, exactly one FinishRun and nothing after it, and an open
run always has something outstanding. Time stands still unless a timer fires; nothing sleeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from textwrap import dedent
from typing import Any

from jetfleet.broker.engine import begin, decide
from jetfleet.broker.engine.gate import LIMIT_REACHED
from jetfleet.broker.engine.state import Status
from jetfleet.schemas import payload as payloads
from jetfleet.schemas.effects import (
    Await,
    CancelChild,
    CancelTask,
    ClearTimer,
    Dispatch,
    Effect,
    Emit,
    FinishRun,
    ReleaseSlot,
    SetTimer,
    StartChild,
    StopAwaiting,
    WantSlot,
)
from jetfleet.schemas.errors import NodeError
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.plan.compiler import compile_flow
from jetfleet.schemas.plan.plan import Plan
from jetfleet.schemas.records import (
    Activation,
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
from jetfleet.schemas.source.document import read

Work = Callable[[Any], Any]
START = 1_000_000
"""When every driven run begins, in milliseconds."""


def compiled(flow: str | Mapping[str, Any]) -> Plan:
    """The plan of a flow; a text is YAML. `name` may be left out."""
    definition = read(dedent(flow).encode()).value if isinstance(flow, str) else dict(flow)
    return compile_flow(Flow.model_validate({"name": "f", **definition}))


class Driver:
    """One run in the hands of a test."""

    def __init__(
        self,
        flow: str | Mapping[str, Any] | Plan,
        value: Any = None,
        *,
        trigger: str | None = None,
        meta: Any = None,
        keep: bool = True,
    ) -> None:
        self.plan = flow if isinstance(flow, Plan) else compiled(flow)
        self.now = START
        self._nothing_out()
        first = RunStarted("r1", START, self.plan.name, self.plan.digest, trigger, payloads.encode(value), payloads.encode(meta))
        self.journal: list[Record] = [first]
        self.run, effects = begin(self.plan, first, keep)
        self._take(effects)

    def _nothing_out(self) -> None:
        self.open: dict[str, Dispatch] = {}
        self.timers: dict[TimerId, int] = {}
        self.awaiting: dict[str, Await] = {}
        self.children: dict[str, StartChild] = {}
        self.slots: dict[tuple[str, str], WantSlot] = {}
        """By the name of who asked ("" is the run) and the limit: what was asked for and not given back."""
        self.effects: list[Effect] = []
        self.result: FinishRun | None = None
        self._dispatched: set[tuple[Activation, int]] = set()
        self._held: set[TimerId] = set()  # went off while the run was paused

    # --- looking

    def name(self, activation: Activation) -> str:
        """`w[1]` for the node w in the second iteration."""
        return self.plan.nodes[int(activation[0])].id + "".join(f"[{step}]" for step in activation[1:])

    def address(self, name: str) -> Activation:
        id, *steps = name.replace("]", "").split("[")
        return (self.plan.by_id[id], *map(int, steps))

    def status(self, name: str) -> str:
        """Of an activation, in lower case; `gone` if its instance does not exist."""
        found = self.run.find(self.address(name))
        return "gone" if found is None else Status(found[0].status(found[1])).name.lower()

    def statuses(self, *names: str) -> list[str]:
        return [self.status(name) for name in names]

    def output(self, name: str) -> Any:
        """What the activation put out, or its error."""
        scope, node = self.run.find(self.address(name)) or (None, None)
        assert scope is not None and node is not None, f"{name} does not exist"
        return payloads.decode(scope.output(node.slot))

    def input(self, name: str) -> Any:
        """What an open activation was given to work on."""
        return payloads.decode(self.open[name].input)

    def dispatched(self, name: str = "") -> list[str]:
        """The names of all tasks so far, in order; or only those of one node."""
        names = [self.name(effect.activation) for effect in self.effects if isinstance(effect, Dispatch)]
        return [found for found in names if not name or found.split("[")[0] == name]

    def all(self, kind: type[Any]) -> list[Any]:
        """The effects of one kind so far."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def ended(self) -> str:
        """How the run ended; empty while it is open."""
        return self.result.status if self.result is not None else ""

    @property
    def value(self) -> Any:
        """The output of a run that completed."""
        assert self.result is not None and self.result.status == "completed", (self.ended, self.result, sorted(self.open))
        return payloads.decode(self.result.output)

    @property
    def error(self) -> Error:
        assert self.result is not None and self.result.error is not None, self.result
        return self.result.error

    @property
    def ignored(self) -> int:
        return self.run.ignored

    # --- answering

    def give(self, record: Record) -> list[Effect]:
        """Hand the run any record."""
        self.now = max(self.now, record.at)
        self.journal.append(record)
        if self.run.paused and isinstance(record, TimerFired):
            self._held.add(record.timer)
        effects = decide(self.run, record)
        self._take(effects)
        return effects

    def complete(self, name: str, output: Any = None, port: str = "out") -> list[Effect]:
        task = self.open.pop(name)
        return self.give(Completion("r1", self.now, task.activation, task.attempt, port, payloads.encode(output)))

    def fail(self, name: str, type: str = "boom", retryable: bool = True, after_ms: int | None = None) -> list[Effect]:
        task = self.open.pop(name)
        error = Error(type, f"{name} failed", retryable)
        return self.give(Completion("r1", self.now, task.activation, task.attempt, error=error, retry_after_ms=after_ms))

    def work(self, **nodes: Work) -> Driver:
        """Complete what is open, oldest first, until nothing is. A node without a function hands on its input."""
        while self.open and not self.ended:
            self.work_one(next(iter(self.open)), **nodes)
        return self

    def work_one(self, name: str, **nodes: Work) -> list[Effect]:
        """Let the named task run: its function's value completes it, a NodeError fails it."""
        work = nodes.get(name.split("[")[0], _hand_on)
        try:
            return self.complete(name, work(self.input(name)))
        except NodeError as error:
            return self.fail(name, error.type, error.retryable, None if error.after is None else int(error.after * 1_000))

    def fire(self, name: str, purpose: str) -> list[Effect]:
        """Let the timer of an activation or of a scope go off, at its time. `""` is the run's own."""
        timer = next((timer for timer in self.timers if timer.purpose == purpose and self._owner(timer) == name), None)
        assert timer is not None, f"no {purpose} timer of {name!r}; there are {self.timer_names()}"
        return self.give(TimerFired("r1", max(self.now, self.timers.pop(timer)), timer))

    def fire_next(self) -> list[Effect]:
        """Let the timer that is due first go off."""
        timer = min(self.timers, key=lambda timer: (self.timers[timer], timer.purpose, str(timer.activation)))
        return self.give(TimerFired("r1", max(self.now, self.timers.pop(timer)), timer))

    def timer_names(self) -> list[tuple[str, str]]:
        return [(self._owner(timer), timer.purpose) for timer in self.timers]

    def due_in(self, name: str, purpose: str) -> int:
        """Milliseconds from now until that timer is due."""
        return next(due for timer, due in self.timers.items() if timer.purpose == purpose and self._owner(timer) == name) - self.now

    def signal(self, name: str, value: Any = None, id: str = "") -> list[Effect]:
        return self.give(SignalReceived("r1", self.now, name, payloads.encode(value), id))

    def event(self, name: str, value: Any = None, id: str = "") -> list[Effect]:
        return self.give(EventReceived("r1", self.now, name, payloads.encode(value), id))

    def child_ended(self, name: str, output: Any = None, status: str = "completed", error: Error | None = None) -> list[Effect]:
        child = self.children.pop(name)
        return self.give(ChildEnded("r1", self.now, child.activation, child.attempt, child.child, status, payloads.encode(output), error))

    def wants(self, name: str = "") -> list[str]:
        """The limits at which the activation, or the run itself, holds a slot or waits for one."""
        return [limit for asked, limit in self.slots if asked == name]

    def grant(self, name: str = "", limit: str = "", *, refused: str = "", in_ms: int = 0) -> list[Effect]:
        """Let the latest limit that was asked for answer."""
        want = self.slots[name, limit or self.wants(name)[-1]]
        if refused == LIMIT_REACHED:
            del self.slots[name, want.limit]
        turn = self.now + in_ms if in_ms else 0
        return self.give(SlotGranted("r1", self.now, want.activation, want.attempt, want.limit, turn, refused))

    def cancel(self, kill: bool = False, reason: str = "") -> list[Effect]:
        return self.give(CancelRequested("r1", self.now, reason, kill))

    def pause(self) -> list[Effect]:
        return self.give(PauseRequested("r1", self.now))

    def resume(self) -> list[Effect]:
        return self.give(ResumeRequested("r1", self.now))

    # --- what every turn is checked for

    def _take(self, effects: list[Effect]) -> None:
        assert self.result is None or not effects, f"effects after the end: {effects}"
        for number, effect in enumerate(effects):
            self._apply(effect)
            if isinstance(effect, FinishRun):
                assert number == len(effects) - 1, f"effects after FinishRun: {effects[number:]}"
        self.effects += effects
        assert self.run.ended == (self.result is not None)
        assert self.result is not None or self.run.paused or self.outstanding, f"stuck: {self._listing()}"
        if self.result is not None:
            assert not self.slots, f"slots left: {self.slots}"
            assert not self.open and not self.awaiting and not self.children, f"left open: {self.open} {self.awaiting} {self.children}"
            assert not [timer for timer in self.timers if timer.purpose != "run"], f"timers left: {self.timer_names()}"

    @property
    def outstanding(self) -> bool:
        """Whether anything can still move the run on. The run's own timeout is no way to move on."""
        return bool(self.open or self.awaiting or self.children or self.slots or [timer for timer in self.timers if timer.purpose != "run"])

    def unanswered(self) -> list[Effect]:
        """Everything that is out."""
        timers = [SetTimer("r1", timer, due) for timer, due in self.timers.items()]
        return [*self.open.values(), *timers, *self.awaiting.values(), *self.children.values()]

    def _apply(self, effect: Effect) -> None:
        match effect:
            case Dispatch():
                key = (effect.activation, effect.attempt)
                assert key not in self._dispatched, f"{self.name(effect.activation)} was dispatched twice as attempt {effect.attempt}"
                self._dispatched.add(key)
                self.open[self.name(effect.activation)] = effect
            case CancelTask():
                assert self.open.pop(self.name(effect.activation)).attempt == effect.attempt
            case SetTimer():
                assert effect.timer not in self.timers, f"set twice: {effect}"
                self.timers[effect.timer] = effect.due
            case ClearTimer():
                known = self.timers.pop(effect.timer, None) is not None or effect.timer in self._held
                assert known, f"cleared but not set: {effect}"
            case Await():
                self.awaiting[self.name(effect.activation)] = effect
            case StopAwaiting():
                assert self.awaiting.pop(self.name(effect.activation)).name == effect.name
            case StartChild():
                if not effect.detached:
                    self.children[self.name(effect.activation)] = effect
            case CancelChild():
                name = next(name for name, child in self.children.items() if child.child == effect.child)
                del self.children[name]
            case WantSlot():
                key = self._who(effect.activation), effect.limit
                assert key not in self.slots, f"asked twice: {effect}"
                self.slots[key] = effect
            case ReleaseSlot():
                want = self.slots.pop((self._who(effect.activation), effect.limit))
                assert want.attempt == effect.attempt
            case FinishRun():
                assert self.result is None, "finished twice"
                self.result = effect
            case Emit():
                pass

    def _who(self, activation: Activation) -> str:
        return self.name(activation) if activation else ""

    def _owner(self, timer: TimerId) -> str:
        if not timer.activation:
            return ""
        if timer.purpose in ("scope", "scope_retry"):
            return self.plan.guards[int(timer.activation[0])].id + "".join(f"[{step}]" for step in timer.activation[1:])
        return self.name(timer.activation)

    def _listing(self) -> dict[str, str]:
        found = {}
        for scope in self.run.scopes():
            for index in scope.plan.nodes:
                node = self.plan.nodes[index]
                found[self.name((index, *scope.path()))] = Status(scope.status(node)).name
        return found


def _hand_on(value: Any) -> Any:
    return value
