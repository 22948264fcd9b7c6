"""The in-process runner: whole flows without a broker, with the real engine and the real nodes.

    result = await run("flows/order.yaml", {"order_id": 7})

It is what embedding programs and tests use, and what `jetfleet run --local` is made of. Same engine, same executor and same records as
in a fleet; what is missing is durability: a run lives as long as this process.

With a VirtualClock, waiting costs nothing: time jumps whenever nothing is left to do at the present moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeAlias

from ..broker.engine.gate import Answer
from ..broker.run_result import RunResult
from ..schemas import effects as fx
from ..schemas import records as rec
from ..schemas.errors import EventRejected, InvalidFlow, UsageError
from ..schemas.payload import NULL, Payload, decode, encode
from ..schemas.plan.events import check_event
from ..schemas.plan.plan import Plan
from . import logs
from .admission import Admission
from .clock import Clock, SystemClock
from .executor import Executor
from .local_arena import LocalArena
from .local_gates import LocalGates
from .local_run import LocalRun
from .providers import Services
from .registry import Registry, default_registry
from .slots import Slots
from .sources import FlowSource, choose_trigger, compile_source
from .virtual_clock import VirtualClock

SLOTS_DEFAULT = 64
NAMED_RUNS_MAX = 1_000
"""Runs with an id of the caller's choice that are remembered after their end, so that asking for one again does not run it again."""
EMITTED_MAX = 10_000
TURNS_AT_REST = 10
"""Turns of the event loop in which nothing may happen before everything counts as at rest: whoever was just woken, cancelled or timed
out, perhaps tasks inside of tasks, takes a few turns to notice."""
DEPTH_MAX = 100
"""How deep sub-flows may start sub-flows: a flow that starts itself must end before the memory does."""

Parent: TypeAlias = tuple[str, rec.Activation]


class LocalRunner:
    """Runs flows in this event loop. Use it as `async with LocalRunner() as runner`.

    slots        attempts that execute at once
    flows        where sub-flows are found, by name
    keep         keep journals and the instances of loop and split bodies, for looking at a run after it has ended
    on_emit      gets every event that a flow emits
    unattended   nobody sends signals from outside: when all runs wait for something that none of them can send, they are
                 cancelled, with what they waited for as reason
    """

    def __init__(
        self,
        *,
        registry: Registry | None = None,
        clock: Clock | None = None,
        slots: int = SLOTS_DEFAULT,
        flows: Mapping[str, FlowSource] | None = None,
        keep: bool = True,
        on_emit: Callable[[fx.Emit], None] | None = None,
        services: Services | None = None,
        unattended: bool = False,
    ) -> None:
        logs.configure_if_nobody_did()
        self.registry = default_registry if registry is None else registry
        self.clock: Clock = SystemClock() if clock is None else clock
        self.services = services or Services(clock=self.clock)
        self._arena = LocalArena(lambda run: run in self._live)
        self.executor = Executor(self.registry, self.services, plane=self._arena.plane)
        self.fresh_context = contextvars.copy_context().copy
        self.slots = Slots(slots, self.fresh_context, self.went_quiet)
        self.gates = LocalGates(self._answered, self.clock.now_ms)
        self.keep = keep
        self.emitted: deque[fx.Emit] = deque(maxlen=EMITTED_MAX)
        self.awake = 0  # runs that are taking in records
        self._flows = dict(flows or {})
        self._on_emit = on_emit
        self._unattended = unattended
        self._plans: dict[str, Plan] = {}
        self._live: dict[str, LocalRun] = {}
        self._named: dict[str, LocalRun] = {}
        self._admission = Admission()
        self._prefix, self._numbers = uuid.uuid4().hex[:8], count(1)
        self._virtual = self.clock if isinstance(self.clock, VirtualClock) else None
        self._looking = False
        self._turns_at_rest = 0
        self._closed = False
        if self._virtual is not None:
            self._virtual.on_sleep = self.went_quiet

    async def __aenter__(self) -> LocalRunner:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill what is still running, and give back threads, processes and connections. Nothing can be started any more."""
        self._closed = True
        while self._live:  # again and again: a run may have started a sub-flow on its way to its end
            for run in list(self._live.values()):
                run.cancel("the runner was closed", kill=True)
            await asyncio.wait([run.ended for run in self._live.values()])
        await self.slots.close()
        await self.executor.close()
        await self._arena.close()

    async def drain(self) -> None:
        """Wait for the end of all runs, those included that are started meanwhile."""
        while self._live:
            await asyncio.wait([run.ended for run in self._live.values()])

    # --- starting runs

    def plan(self, flow: FlowSource) -> Plan:
        """The plan of a flow in any form. Raises InvalidFlow."""
        plan = compile_source(flow, self.registry)
        return self._plans.setdefault(plan.digest, plan)

    async def run(
        self, flow: FlowSource, event: Any = None, *, trigger: str | None = None, meta: Any = None, run_id: str | None = None
    ) -> RunResult:
        """Run a flow to its end. See `start` for the errors raised; a run that fails is a result, not an exception."""
        return await self.start(flow, event, trigger=trigger, meta=meta, run_id=run_id).result()

    def start(
        self, flow: FlowSource, event: Any = None, *, trigger: str | None = None, meta: Any = None, run_id: str | None = None
    ) -> LocalRun:
        """Start a run and return its handle. The same `run_id` again returns the run that has it, also for a while after its end.

        Raises InvalidFlow, UsageError (which trigger?), EventRejected (the flow's `inputs` refuse the event), UnencodableValue.
        """
        if self._closed:
            raise UsageError("the runner is closed; start runs inside of its `async with`")
        if run_id is not None and (known := self._live.get(run_id) or self._named.get(run_id)):
            return known
        plan = self.plan(flow)
        check_event(plan, event)
        id = run_id or f"{plan.name}-{self._prefix}-{next(self._numbers)}"
        run = self._start(plan, encode(event), choose_trigger(plan, trigger), encode(meta), id)
        if run_id is not None:
            self._named[run_id] = run
            if len(self._named) > NAMED_RUNS_MAX:
                del self._named[next(iter(self._named))]
        return run

    def _start(self, plan: Plan, payload: Payload, trigger: str | None, meta: Payload, id: str, parent: Parent | None = None) -> LocalRun:
        started = rec.RunStarted(id, self.clock.now_ms(), plan.name, plan.digest, trigger, payload, meta, parent)
        run = self._live[id] = LocalRun(self, plan, started)
        self._admission.enter(run)
        return run

    def withdraw(self, run: LocalRun) -> bool:
        """Forget a run that is still to be admitted. False: it has begun."""
        if not self._admission.withdraw(run):
            return False
        del self._live[run.id]
        return True

    def forget(self, run: LocalRun) -> None:
        """A run has ended."""
        if self._live.pop(run.id, None) is not None:
            self._admission.leave(run)
            self.gates.forget(run.id)
            self._arena.run_ended()

    def start_child(self, parent: LocalRun, effect: fx.StartChild) -> LocalRun | rec.Error:
        """Start a sub-flow's run, or say why that cannot be."""
        source = self._flows.get(effect.flow, parent.plan if effect.flow == parent.plan.name else None)
        if source is None:
            known = ", ".join(sorted(self._flows)) or "none"
            return rec.Error("unknown_flow", f"no flow is called {effect.flow!r}; known here: {known}", False)
        if parent.depth >= DEPTH_MAX:
            return rec.Error("too_deep", f"sub-flows are nested {DEPTH_MAX} deep; does {effect.flow!r} start itself without end?", False)
        try:
            plan = self.plan(source)
            trigger = choose_trigger(plan, None)
            if plan.inputs is not None:
                check_event(plan, decode(effect.input))
        except (InvalidFlow, UsageError, EventRejected) as error:
            return rec.Error(error.code.lower(), f"flow {effect.flow!r} cannot be started: {error}", False)
        if effect.version is not None and effect.version != plan.version:
            return rec.Error("unknown_flow", f"flow {effect.flow!r} is here in version {plan.version}, not {effect.version}", False)
        if effect.flow in self._flows:
            self._flows[effect.flow] = plan  # a file is read and compiled once
        child = self._start(plan, effect.input, trigger, NULL, effect.child, (effect.run, effect.activation))
        child.depth = parent.depth + 1
        return child

    def _answered(self, record: Answer) -> bool:
        """A limit has answered a run. False: it has ended."""
        run = self._live.get(record.run)
        if run is not None:
            run.deliver(record)
        return run is not None

    # --- events between runs

    def emit(self, effect: fx.Emit) -> None:
        """Hand an event to the runs that wait for it, and to whoever embeds the runner."""
        if self.keep:
            self.emitted.append(effect)
        for run in list(self._live.values()):
            if run.hears(effect.subject, effect.payload):
                run.deliver(rec.EventReceived(run.id, self.clock.now_ms(), effect.subject, effect.payload, effect.id))
        if self._on_emit is not None:
            # In a turn of its own: what the callback raises is the embedding program's affair and not the run's.
            asyncio.get_running_loop().call_soon(self._on_emit, effect)

    # --- when everything has come to rest

    def went_quiet(self) -> None:
        """Something has come to rest: see whether everything has, and stays so."""
        self._turns_at_rest = 0
        if (self._virtual is not None or self._unattended) and not self._looking:
            self._look_again()

    def _look_again(self) -> None:
        self._looking = True
        asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        self._looking = False
        if self.awake or self.slots.at_work:
            return
        self._turns_at_rest += 1
        if self._turns_at_rest < TURNS_AT_REST:
            self._look_again()
        elif self._virtual is not None and self._virtual.advance():
            self.went_quiet()
        elif self._unattended and not any(run.moves for run in self._live.values()):
            for run in list(self._live.values()):
                if run.parent is None or run.parent[0] not in self._live:
                    run.give_up()


async def run(flow: FlowSource, event: Any = None, *, trigger: str | None = None, **options: Any) -> RunResult:
    """Run one flow to its end in this process, and the detached sub-flows that it starts.

    `options` are those of LocalRunner (`clock`, `registry`, `flows`, …). A run that waits for a signal which nobody can send here is
    cancelled; to send signals, use LocalRunner. Raises what `LocalRunner.start` raises.
    """
    async with LocalRunner(unattended=True, **options) as runner:
        result = await runner.run(flow, event, trigger=trigger)
        await runner.drain()
        return result
