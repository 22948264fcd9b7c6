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

from ..broker.engine import Blocked, NodeView, Run, begin, blocked_on, decide, nodes
from ..schemas import effects as fx
from ..schemas import records as rec
from ..schemas.payload import encode
from ..schemas.plan.binding import lookup
from ..schemas.plan.plan import Plan, PlanNode
from ..schemas.records import Activation, Record, TimerId
from ..schemas.values import to_text
from .clock import Alarm
from .result import RunResult
from .slots import Job

if TYPE_CHECKING:
    from .runner import LocalRunner

RECORDS_PER_TURN = 256
"""Records that a run takes in before it lets the event loop serve others."""


class LocalRun:
    """The handle of a run: await `result()`, and steer it meanwhile. Made by `LocalRunner.start`."""

    def __init__(self, runner: LocalRunner, plan: Plan, started: rec.RunStarted) -> None:
        self.id = started.run
        self.plan = plan
        self.journal: list[Record] = []
        self.ended: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        self.children: dict[str, LocalRun] = {}
        self.awaiting: dict[Activation, fx.Await] = {}
        self._runner = runner
        self._started = started
        self._run: Run | None = None
        self._inbox: deque[Record] = deque()
        self._alarms: dict[TimerId, Alarm] = {}
        self._jobs: dict[tuple[Activation, int], Job] = {}
        self._pumping = False

    # --- what callers do

    async def result(self) -> RunResult:
        """How the run ended; waits for it."""
        return await asyncio.shield(self.ended)

    @property
    def state(self) -> Run:
        """The run's state, to read. It is made with the first record, in the next turn of the event loop."""
        assert self._run is not None
        return self._run

    def signal(self, name: str, value: Any = None, id: str = "") -> None:
        """Send a signal or the answer to an approval (`{"decision": "approve", …}`); kept if nobody waits for it yet."""
        self.deliver(rec.SignalReceived(self.id, self._now(), name, encode(value), id))

    def event(self, name: str, value: Any = None, id: str = "") -> None:
        """Send an event for nodes that wait for one."""
        self.deliver(rec.EventReceived(self.id, self._now(), name, encode(value), id))

    def cancel(self, reason: str = "", kill: bool = False) -> None:
        """End the run: with its compensations, or without them if killed."""
        self.deliver(rec.CancelRequested(self.id, self._now(), reason, kill))

    def pause(self, reason: str = "") -> None:
        """Start nothing new until `resume`; what is running ends normally."""
        self.deliver(rec.PauseRequested(self.id, self._now(), reason))

    def resume(self) -> None:
        self.deliver(rec.ResumeRequested(self.id, self._now()))

    def nodes(self) -> dict[str, NodeView]:
        return nodes(self.state)

    def blocked_on(self) -> list[Blocked]:
        """Why the run is not moving right now."""
        return blocked_on(self.state) if self._run is not None else []

    @property
    def needs_help(self) -> bool:
        """Whether only a signal, an event or a person can move it: nothing runs here and no timer is set."""
        quiet = not (self._inbox or self._jobs or self._alarms or self.children or self._pumping)
        return quiet and self._run is not None and not self._run.ended

    @property
    def busy(self) -> bool:
        """Whether there are records that it has not taken in yet."""
        return bool(self._inbox)

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
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        inbox, journal, keep = self._inbox, self.journal, self._runner.keep
        try:
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
        except BaseException as error:
            # A defect of the engine must reach the caller of this run, and must not take the other runs with it.
            self._release()
            if not self.ended.done():
                self.ended.set_exception(error)
            return
        if inbox and not self.ended.done():
            asyncio.get_running_loop().call_soon(self._pump)
        else:
            self._pumping = False
            self._runner.went_quiet()

    def _now(self) -> int:
        return self._runner.clock.now_ms()

    # --- what effects ask for

    def _dispatch(self, effect: fx.Dispatch) -> None:
        node = self.plan.nodes[effect.activation[0]]  # type: ignore[call-overload]
        executor = self._runner.executor
        if node.concurrency is None and executor.is_inline(node):
            self._inbox.append(executor.execute_inline(self.plan, node, effect))
            return
        job = Job(lambda: self._execute(node, effect))
        if node.concurrency is not None:
            job.key, job.limit, job.on_limit = self._concurrency_key(node, effect), node.concurrency.max, node.concurrency.on_limit
            job.refuse = lambda why: self._refuse(effect, why)
        self._jobs[effect.activation, effect.attempt] = job
        self._runner.slots.submit(job)

    def _concurrency_key(self, node: PlanNode, effect: fx.Dispatch) -> tuple[str, int, str]:
        key = ""
        if node.concurrency_key is not None:
            find = lookup(self.plan, node.roots, effect.needs, self.id, effect.activation)
            key = to_text(node.concurrency_key.render(find)) or ""
        return (self.plan.name, node.index, key)

    async def _execute(self, node: PlanNode, effect: fx.Dispatch) -> None:
        completion = await self._runner.executor.execute(self.plan, node, effect)
        if self._jobs.pop((effect.activation, effect.attempt), None) is not None:
            self.deliver(completion)

    def _refuse(self, effect: fx.Dispatch, why: str) -> None:
        if self._jobs.pop((effect.activation, effect.attempt), None) is not None:
            error = rec.Error("concurrency_limit", why)
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
        if isinstance(child, rec.Error):
            self.deliver(rec.ChildEnded(self.id, self._now(), effect.activation, effect.attempt, effect.child, "failed", error=child))
        elif not effect.detached:
            self.children[effect.child] = child
            child.ended.add_done_callback(lambda ended: self._child_ended(effect, ended))

    def _child_ended(self, effect: fx.StartChild, ended: asyncio.Future[RunResult]) -> None:
        self.children.pop(effect.child, None)
        if not ended.cancelled() and ended.exception() is None:
            r = ended.result()
            end = rec.ChildEnded(self.id, self._now(), effect.activation, effect.attempt, effect.child, r.status, r.payload, r.error)
            self.deliver(end)

    def _cancel_child(self, effect: fx.CancelChild) -> None:
        child = self.children.pop(effect.child, None)
        if child is not None:
            child.cancel(effect.reason, effect.kill)

    def _emit(self, effect: fx.Emit) -> None:
        self._runner.emit(effect)

    def _finish(self, effect: fx.FinishRun) -> None:
        self._release()
        self.ended.set_result(RunResult.of(self.state, self.journal))

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
        self._pumping = False
        self._runner.forget(self)


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
