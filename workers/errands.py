"""Errands: carrying out what the engine wants for one run, in this process.

Inline nodes are executed on the spot; other nodes get a slot, timers an alarm on the runner's clock, sub-flows a run of their own. What
comes of an errand is a record for the run. Everything that is still out is known here, and can be called back at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog

from ..broker.run_result import RunResult
from ..schemas import effects as fx
from ..schemas import records as rec
from ..schemas.effects import Effect
from ..schemas.payload import NULL, Payload
from ..schemas.payload_errors import ArenaFull
from ..schemas.plan.plan import NONE, PlanNode
from ..schemas.records import Activation, TimerId
from .clock import Alarm
from .host import Host
from .slots import Job

if TYPE_CHECKING:
    from .local_run import LocalRun


class Errands:
    """Those of one run. `children` are the sub-flows that it waits for, `awaiting` its waits for signals and events.

    `awaited` are the kinds and names of all waits so far.
    """

    def __init__(self, run: LocalRun, host: Host) -> None:
        self.children: dict[str, LocalRun] = {}
        self.awaiting: dict[Activation, fx.Await] = {}
        self.awaited: set[tuple[str, str]] = set()
        self._run = run
        self._host = host
        self._alarms: dict[TimerId, Alarm] = {}
        self._jobs: dict[tuple[Activation, int], Job] = {}

    @property
    def out(self) -> bool:
        """Whether something will come back by itself: an attempt is out, or a timer is set."""
        return bool(self._jobs or self._alarms)

    def carry_out(self, effect: Effect) -> None:
        """Anything but FinishRun, which is the run's own."""
        _CARRIERS[type(effect)](self, effect)

    def call_back(self) -> None:
        """Give up everything that is out."""
        for alarm in self._alarms.values():
            alarm.cancel()
        for job in list(self._jobs.values()):
            job.cancel()
        self._alarms.clear()
        self._jobs.clear()
        self.awaiting.clear()

    def _dispatch(self, effect: fx.Dispatch) -> None:
        node = self._run.plan.nodes[int(effect.activation[0])]
        executor = self._host.executor
        if executor.is_inline(node) and executor.is_at_hand(self._run.plan, effect):
            try:
                completion = executor.execute_inline(self._run.plan, node, effect)
            except ArenaFull:
                pass  # in a slot it can wait for room
            else:
                if completion.error is not None:
                    self._tell(completion, completion.error)
                self._run.take(completion)
                return
        job = Job(lambda: self._execute(node, effect), fail=lambda error: self._give_up(effect, error))
        self._jobs[effect.activation, effect.attempt] = job
        self._host.slots.submit(job)

    async def _execute(self, node: PlanNode, effect: fx.Dispatch) -> None:
        try:
            completion = await self._host.executor.execute(self._run.plan, node, effect)
        except Exception as error:  # nothing that node code does gets here
            self._run.break_off(error)
            return
        if self._jobs.pop((effect.activation, effect.attempt), None) is not None:
            if completion.error is not None:
                self._tell(completion, completion.error)
            # With others in flight, who are about to end too, the pump can take them all in together.
            self._run.deliver(completion, at_once=not self._jobs)

    def _give_up(self, effect: fx.Dispatch, error: rec.Error) -> None:
        if self._jobs.pop((effect.activation, effect.attempt), None) is not None:
            self._fail(effect, error)

    def _fail(self, effect: fx.Dispatch, error: rec.Error) -> None:
        completion = rec.Completion(self._run.id, self._host.clock.now_ms(), effect.activation, effect.attempt, error=error)
        self._tell(completion, error)
        self._run.deliver(completion)

    def _tell(self, completion: rec.Completion, error: rec.Error) -> None:
        """Log a failed attempt: one that is tried again leaves no other trace that a person would see."""
        nodes = self._run.plan.nodes
        node = nodes[int(completion.activation[0])]
        undoes = {} if node.compensates == NONE else {"undoes": nodes[node.compensates].id}
        message = self._host.executor.services.secrets.redact(error.message)
        event = "a compensation failed" if undoes else "an attempt failed"
        _warn(event, run=self._run.id, node=node.id, attempt=completion.attempt, error=error.type, message=message, **undoes)

    def _cancel_task(self, effect: fx.CancelTask) -> None:
        job = self._jobs.pop((effect.activation, effect.attempt), None)
        if job is not None:
            job.cancel()

    def _set_timer(self, effect: fx.SetTimer) -> None:
        timer = effect.timer
        self._alarms[timer] = self._host.clock.call_at(effect.due, lambda: self._ring(timer))

    def _ring(self, timer: TimerId) -> None:
        if self._alarms.pop(timer, None) is not None:
            self._run.deliver(rec.TimerFired(self._run.id, self._host.clock.now_ms(), timer))

    def _clear_timer(self, effect: fx.ClearTimer) -> None:
        alarm = self._alarms.pop(effect.timer, None)
        if alarm is not None:
            alarm.cancel()

    def _await(self, effect: fx.Await) -> None:
        self.awaiting[effect.activation] = effect
        self.awaited.add((effect.kind, effect.name))

    def _stop_awaiting(self, effect: fx.StopAwaiting) -> None:
        self.awaiting.pop(effect.activation, None)

    def _start_child(self, effect: fx.StartChild) -> None:
        child = self._host.start_child(self._run, effect)
        if not isinstance(child, rec.Error):
            if not effect.detached:
                self.children[effect.child] = child
                child.tell = lambda how: self._child_ended(effect, how)
        elif effect.detached:
            _warn("a detached sub-flow was not started", run=self._run.id, flow=effect.flow, error=child.message)
        else:
            self._deliver_end(effect, "failed", NULL, child)

    def _child_ended(self, effect: fx.StartChild, how: RunResult | BaseException) -> None:
        self.children.pop(effect.child, None)
        if isinstance(how, BaseException):
            self._deliver_end(effect, "failed", NULL, rec.Error("internal", f"run {effect.child} met a defect of jetfleet: {how!r}", False))
        else:
            self._deliver_end(effect, how.status, how.payload, how.error)

    def _deliver_end(self, effect: fx.StartChild, status: str, output: Payload, error: rec.Error | None) -> None:
        now = self._host.clock.now_ms()
        self._run.deliver(rec.ChildEnded(self._run.id, now, effect.activation, effect.attempt, effect.child, status, output, error))

    def _cancel_child(self, effect: fx.CancelChild) -> None:
        child = self.children.pop(effect.child, None)
        if child is not None:
            child.cancel(effect.reason, effect.kill)

    def _emit(self, effect: fx.Emit) -> None:
        self._host.emit(effect)

    def _want_slot(self, effect: fx.WantSlot) -> None:
        self._host.gates.want(effect)

    def _release_slot(self, effect: fx.ReleaseSlot) -> None:
        self._host.gates.release(effect)


def _warn(event: str, **fields: Any) -> None:
    # The logger is made anew each time: one that is kept goes on with the configuration of its first use.
    structlog.get_logger("jetfleet.runner").warning(event, **fields)


_CARRIERS: dict[type[Any], Callable[[Errands, Any], None]] = {
    fx.Dispatch: Errands._dispatch,
    fx.CancelTask: Errands._cancel_task,
    fx.SetTimer: Errands._set_timer,
    fx.ClearTimer: Errands._clear_timer,
    fx.Await: Errands._await,
    fx.StopAwaiting: Errands._stop_awaiting,
    fx.StartChild: Errands._start_child,
    fx.CancelChild: Errands._cancel_child,
    fx.Emit: Errands._emit,
    fx.WantSlot: Errands._want_slot,
    fx.ReleaseSlot: Errands._release_slot,
}
