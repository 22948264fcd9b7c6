"""A local run: one run in this process, driven by its records.

Records go into an inbox; the engine takes them in one by one and what it wants done is done at once: inline nodes are executed on the
spot, other nodes get a slot, timers are set on the runner's clock. What comes of it is the next record. The journal is the
list of all records, exactly what a write-ahead log would hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from ..broker.engine import Blocked, NodeView, Run, begin, blocked_on, decide, nodes
from ..schemas import effects as fx
from ..schemas import records as rec
from ..schemas.errors import JetfleetError, UsageError
from ..schemas.payload import NULL, Payload, encode
from ..schemas.plan.binding import lookup
from ..schemas.plan.plan import Plan, PlanNode
from ..schemas.records import Activation, Record, TimerId
from ..schemas.values import to_text
from .clock import Alarm
from .faults import describe
from .result import RunResult
from .slots import Job
from .waiting import in_words

if TYPE_CHECKING:
    from .runner import LocalRunner

_log = structlog.get_logger("jetfleet.runner")

RECORDS_PER_TURN = 256
"""Records that a run takes in before it lets the event loop serve others."""


class LocalRun:
    """The handle of a run: await `result()`, and steer it meanwhile. Made by `LocalRunner.start`."""

    def __init__(self, runner: LocalRunner, plan: Plan, started: rec.RunStarted) -> None:
        self.id = started.run
        self.plan = plan
        self.parent = started.parent
        self.depth = 0  # of nested sub-flows
        self.journal: list[Record] = []
        self.ended: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        self.children: dict[str, LocalRun] = {}
        self.awaiting: dict[Activation, fx.Await] = {}
        self.stuck_on = ""
        """What the run waited for when it was given up, because nobody could move it."""
        self._runner = runner
        self._started = started
        self._run: Run | None = None
        self._inbox: deque[Record] = deque()
        self._alarms: dict[TimerId, Alarm] = {}
        self._jobs: dict[tuple[Activation, int], Job] = {}
        self._pumping = False
        self._waiters: list[asyncio.Future[RunResult]] = []
        self.tell: Callable[[RunResult | BaseException], None] = _nobody
        """Tells the parent how the run has ended, at once: between a child's end and the parent's waking nobody may find all at rest."""

    # --- what callers do

    async def result(self) -> RunResult:
        """How the run ended; waits for it."""
        if self.ended.done():
            return self.ended.result()
        # A future of this caller's own: who gives up waiting must not take the result from the others.
        waiter: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return await waiter

    @property
    def state(self) -> Run:
        """The run's state, to read. Raises UsageError before the run has begun, in the next turn of the event loop at the earliest."""
        if self._run is None:
            raise UsageError(f"run {self.id} has not begun yet")
        return self._run

    def signal(self, name: str, value: Any = None, id: str = "") -> None:
        """Send a signal or the answer to an approval (`{"decision": "approve", …}`); kept if nobody waits for it yet."""
        self.deliver(rec.SignalReceived(self.id, self._now(), name, encode(value), id))

    def event(self, name: str, value: Any = None, id: str = "") -> None:
        """Send an event for nodes that wait for one."""
        self.deliver(rec.EventReceived(self.id, self._now(), name, encode(value), id))

    def cancel(self, reason: str = "", kill: bool = False) -> None:
        """End the run: with its compensations, or without them if killed. One that was still to be admitted never begins."""
        if self._runner.withdraw(self):
            self._end(RunResult.never_begun(self._started, self._now(), "killed" if kill else "cancelled", reason))
        else:
            self.deliver(rec.CancelRequested(self.id, self._now(), reason, kill))

    def pause(self, reason: str = "") -> None:
        """Start nothing new until `resume`; what is running ends normally."""
        self.deliver(rec.PauseRequested(self.id, self._now(), reason))

    def resume(self) -> None:
        self.deliver(rec.ResumeRequested(self.id, self._now()))

    def nodes(self) -> dict[str, NodeView]:
        """Every activation so far, by its key. Empty before the run has begun."""
        return nodes(self._run) if self._run is not None else {}

    def blocked_on(self) -> list[Blocked]:
        """Why the run is not moving right now."""
        return blocked_on(self._run) if self._run is not None else []

    # --- what the runner asks and does

    def awaits(self, kind: str, name: str) -> bool:
        """Whether a node waits for that signal or event right now."""
        return any(wait.kind == kind and wait.name == name for wait in self.awaiting.values())

    @property
    def moves(self) -> bool:
        """Whether it goes on without help from outside: something is at work, or a timer is set."""
        return bool(self._inbox or self._jobs or self._alarms or self._pumping)

    def give_up(self) -> None:
        """Cancel the run because nobody can move it, with what it waits for as reason. Kill it if its compensations are stuck too."""
        if self._run is not None and not self._run.ended:
            again = bool(self.stuck_on)
            self.stuck_on = "; ".join(self._waits()) or "nothing"
            self.cancel(f"nobody can move it: {self.stuck_on}", kill=again)

    def _waits(self) -> list[str]:
        """What the run and its sub-flows wait for in the end."""
        own = [in_words(blocked, self._now()) for blocked in self.blocked_on() if blocked.reason != "child"]
        return own + [wait for child in self.children.values() for wait in child._waits()]

    # --- the pump

    def begin(self) -> None:
        """Take in the first record; what was delivered before waits behind it."""
        self._inbox.appendleft(self._started)
        self._wake()

    def deliver(self, record: Record) -> None:
        """Take a record in, soon. After the run's end it is dropped."""
        if self.ended.done():
            return
        self._inbox.append(record)
        if self._run is not None:
            self._wake()

    def _wake(self) -> None:
        if not self._pumping:
            self._start_pumping()
            asyncio.get_running_loop().call_soon(self._pump)

    def _start_pumping(self) -> None:
        self._pumping = True
        self._runner.awake += 1

    def _pump(self) -> None:
        try:
            self._take_in()
        except Exception as error:
            # A defect of the engine must reach the caller of this run, and must not take the other runs with it.
            self._end(error)
        if self._inbox and not self.ended.done():
            asyncio.get_running_loop().call_soon(self._pump)
            return
        self._pumping = False
        self._runner.awake -= 1
        self._runner.went_quiet()

    def _take_in(self) -> None:
        inbox, journal, keep = self._inbox, self.journal, self._runner.keep
        for _ in range(RECORDS_PER_TURN):
            if not inbox:
                break
            record = inbox.popleft()
            if keep:
                journal.append(record)
            run = self._run
            if run is None:
                self._run, effects = begin(self.plan, self._started, keep)
            else:
                effects = decide(run, record)
            for effect in effects:
                _PERFORM[type(effect)](self, effect)

    def _now(self) -> int:
        return self._runner.clock.now_ms()

    # --- what effects ask for

    def _dispatch(self, effect: fx.Dispatch) -> None:
        node = self.plan.nodes[int(effect.activation[0])]
        executor = self._runner.executor
        if node.concurrency is None and executor.is_inline(node):
            self._inbox.append(executor.execute_inline(self.plan, node, effect))
            return
        job = Job(lambda: self._execute(node, effect))
        if node.concurrency is not None:
            try:
                job.key = self._concurrency_key(node, effect)
            except JetfleetError as error:
                self._fail(effect, describe(error))
                return
            job.limit, job.on_limit = node.concurrency.max, node.concurrency.on_limit
            job.refuse = lambda why, again: self._refuse(effect, rec.Error("concurrency_limit", why, again))
        self._jobs[effect.activation, effect.attempt] = job
        self._runner.slots.submit(job)

    def _concurrency_key(self, node: PlanNode, effect: fx.Dispatch) -> tuple[str, str, str]:
        """Raises JetfleetError if the key's selectors lead to what cannot be read."""
        key = ""
        if node.concurrency_key is not None:
            find = lookup(self.plan, node.roots, effect.needs, self.id, effect.activation)
            key = to_text(node.concurrency_key.render(find)) or ""
        return (self.plan.name, node.id, key)

    async def _execute(self, node: PlanNode, effect: fx.Dispatch) -> None:
        try:
            completion = await self._runner.executor.execute(self.plan, node, effect)
        except Exception as error:  # nothing that node code does gets here
            self._end(error)
            return
        if self._jobs.pop((effect.activation, effect.attempt), None) is None:
            return
        if self._pumping or self._jobs:
            self.deliver(completion)  # others are about to end too: the pump takes them all in at once
            return
        # The only one in flight: go on at once instead of in the next turn of the loop. In a context of its own, so that context
        # variables which this node set are not seen by the next one.
        self._inbox.append(completion)
        self._start_pumping()
        self._runner.fresh_context().run(self._pump)

    def _refuse(self, effect: fx.Dispatch, error: rec.Error) -> None:
        if self._jobs.pop((effect.activation, effect.attempt), None) is not None:
            self._fail(effect, error)

    def _fail(self, effect: fx.Dispatch, error: rec.Error) -> None:
        self.deliver(rec.Completion(self.id, self._now(), effect.activation, effect.attempt, error=error))

    def _cancel_task(self, effect: fx.CancelTask) -> None:
        job = self._jobs.pop((effect.activation, effect.attempt), None)
        if job is not None:
            job.cancel()

    def _set_timer(self, effect: fx.SetTimer) -> None:
        timer = effect.timer
        self._alarms[timer] = self._runner.clock.call_at(effect.due, lambda: self._ring(timer))

    def _ring(self, timer: TimerId) -> None:
        if self._alarms.pop(timer, None) is not None:
            self.deliver(rec.TimerFired(self.id, self._now(), timer))

    def _clear_timer(self, effect: fx.ClearTimer) -> None:
        alarm = self._alarms.pop(effect.timer, None)
        if alarm is not None:
            alarm.cancel()

    def _await(self, effect: fx.Await) -> None:
        self.awaiting[effect.activation] = effect

    def _stop_awaiting(self, effect: fx.StopAwaiting) -> None:
        self.awaiting.pop(effect.activation, None)

    def _start_child(self, effect: fx.StartChild) -> None:
        child = self._runner.start_child(self, effect)
        if isinstance(child, LocalRun):
            if not effect.detached:
                self.children[effect.child] = child
                child.tell = lambda how: self._child_ended(effect, how)
        elif effect.detached:
            _log.warning("a detached sub-flow was not started", run=self.id, flow=effect.flow, error=child.message)
        else:
            self._deliver_end(effect, "failed", NULL, child)

    def _child_ended(self, effect: fx.StartChild, how: RunResult | BaseException) -> None:
        self.children.pop(effect.child, None)
        if isinstance(how, BaseException):
            self._deliver_end(effect, "failed", NULL, rec.Error("internal", f"run {effect.child} met a defect of jetfleet: {how!r}", False))
        else:
            self._deliver_end(effect, how.status, how.payload, how.error)

    def _deliver_end(self, effect: fx.StartChild, status: str, output: Payload, error: rec.Error | None) -> None:
        self.deliver(rec.ChildEnded(self.id, self._now(), effect.activation, effect.attempt, effect.child, status, output, error))

    def _cancel_child(self, effect: fx.CancelChild) -> None:
        child = self.children.pop(effect.child, None)
        if child is not None:
            child.cancel(effect.reason, effect.kill)

    def _emit(self, effect: fx.Emit) -> None:
        self._runner.emit(effect)

    def _finish(self, effect: fx.FinishRun) -> None:
        self._end(RunResult.of(self.state, self.journal))

    def _end(self, how: RunResult | BaseException) -> None:
        """Tell everybody who waits, once."""
        self._release()
        if not self.ended.done():
            self.tell(how)
        for future in (self.ended, *self._waiters):
            if future.done():
                continue
            if isinstance(how, BaseException):
                future.set_exception(how)
            else:
                future.set_result(how)
        if isinstance(how, BaseException):
            self.ended.exception()  # seen: asyncio need not complain if nobody else looks

    def _release(self) -> None:
        """Give back everything that the run still holds: slots, timers, its place among the waiting."""
        for alarm in self._alarms.values():
            alarm.cancel()
        for job in list(self._jobs.values()):
            job.cancel()
        self._alarms.clear()
        self._jobs.clear()
        self._inbox.clear()
        self.awaiting.clear()
        self._runner.forget(self)


def _nobody(how: RunResult | BaseException) -> None:
    """A run that no other run waits for."""


_PERFORM: dict[type[Any], Callable[[LocalRun, Any], None]] = {
    fx.Dispatch: LocalRun._dispatch,
    fx.CancelTask: LocalRun._cancel_task,
    fx.SetTimer: LocalRun._set_timer,
    fx.ClearTimer: LocalRun._clear_timer,
    fx.Await: LocalRun._await,
    fx.StopAwaiting: LocalRun._stop_awaiting,
    fx.StartChild: LocalRun._start_child,
    fx.CancelChild: LocalRun._cancel_child,
    fx.Emit: LocalRun._emit,
    fx.FinishRun: LocalRun._finish,
}
