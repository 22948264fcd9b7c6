"""A local run: one run in this process, driven by its records.

Records go into an inbox; the engine takes them in one by one, and what it wants done is an errand, of which the next record comes. The
journal is the list of all records, exactly what a write-ahead log would hold.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..broker.engine import Blocked, NodeView, Run, begin, blocked_on, decide, hears, nodes
from ..broker.run_result import Opened, RunResult
from ..broker.study.words import in_words
from ..schemas import records as rec
from ..schemas.effects import Await, FinishRun
from ..schemas.errors import UsageError
from ..schemas.payload import Payload, encode
from ..schemas.plan.plan import Plan
from ..schemas.records import Activation, Record
from ..schemas.ref import may_hold_ref
from .errands import Errands
from .host import Host

RECORDS_PER_TURN = 256
"""Records that a run takes in before it lets the event loop serve others."""


class LocalRun:
    """The handle of a run: await `result()`, and steer it meanwhile. Made by `LocalRunner.start`."""

    def __init__(self, host: Host, plan: Plan, started: rec.RunStarted) -> None:
        self.id = started.run
        self.plan = plan
        self.parent = started.parent
        self.depth = 0  # of nested sub-flows
        self.journal: list[Record] = []
        self.ended: asyncio.Future[RunResult] = asyncio.get_running_loop().create_future()
        self.stuck_on = ""
        """What the run waited for when it was given up, because nobody could move it."""
        self.errands = Errands(self, host)
        self._host = host
        self._started = started
        self._run: Run | None = None
        self._inbox: deque[Record] = deque()
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
        if self._host.withdraw(self):
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

    @property
    def awaiting(self) -> Mapping[Activation, Await]:
        """The signals, approvals and events that it waits for right now."""
        return self.errands.awaiting

    @property
    def children(self) -> Mapping[str, LocalRun]:
        """The sub-flows that it waits for, by their run ids."""
        return self.errands.children

    # --- what the runner asks and does

    def hears(self, event: str, payload: Payload) -> bool:
        """Whether an event that is for whoever waits for it concerns this run."""
        return self._run is not None and hears(self._run, event, payload)

    @property
    def moves(self) -> bool:
        """Whether it goes on without help from outside: something is at work, or a timer is set."""
        return bool(self._inbox or self._pumping or self.errands.out)

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

    def deliver(self, record: Record, at_once: bool = False) -> None:
        """Take a record in, soon. After the run's end it is dropped.

        `at_once`: not in the next turn of the loop but now, if the run is at rest; in a context of its own, so that context variables which
        one node has set are not seen by the next.
        """
        if self.ended.done():
            return
        self._inbox.append(record)
        if at_once and not self._pumping:
            self._start_pumping()
            self._host.fresh_context().run(self._pump)
        elif self._run is not None:
            self._wake()

    def take(self, record: Record) -> None:
        """Take in a record that came of an effect right now: the pump is at work and sees it."""
        self._inbox.append(record)

    def break_off(self, error: BaseException) -> None:
        """End the run by a defect of jetfleet, which whoever waits for it gets to see."""
        self._end(error)

    def _wake(self) -> None:
        if not self._pumping:
            self._start_pumping()
            asyncio.get_running_loop().call_soon(self._pump)

    def _start_pumping(self) -> None:
        self._pumping = True
        self._host.awake += 1

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
        self._host.awake -= 1
        self._host.went_quiet()

    def _take_in(self) -> None:
        inbox, journal, keep = self._inbox, self.journal, self._host.keep
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
                if type(effect) is FinishRun:
                    self._end(self._result())
                else:
                    self.errands.carry_out(effect)

    def _result(self) -> RunResult:
        """How the run ended. What of its output lies in the arena is read now: it is freed when the run is forgotten."""
        result = RunResult.of(self.state, self.journal)
        if not may_hold_ref(result.payload):
            return result
        return replace(result, opened=Opened(self._host.executor.plane.decode(result.payload)))

    def _now(self) -> int:
        return self._host.clock.now_ms()

    def _end(self, how: RunResult | BaseException) -> None:
        """Tell everybody who waits, once."""
        self.errands.call_back()
        self._inbox.clear()
        self._host.forget(self)
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


def _nobody(how: RunResult | BaseException) -> None:
    """A run that no other run waits for."""
