"""The in-process runner: whole flows without a broker, with the real engine and the real nodes.

    result = await run("flows/order.yaml", {"order_id": 7})

It is what embedding programs and tests use, and what `jetfleet run --local` is made of. Same engine, same executor and same records as
in a fleet; what is missing is durability: a run lives as long as this process.

With a VirtualClock, waiting costs nothing: time jumps whenever nothing is left to do at the present moment.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from ..schemas import effects as fx
from ..schemas import records as rec
from ..schemas.errors import InvalidFlow, UsageError
from ..schemas.flow.definition import Flow
from ..schemas.plan.events import check_event
from ..schemas.flow.loader import load_flow, parse_flow
from ..schemas.payload import NULL, Payload, encode
from ..schemas.plan.compiler import compile_flow
from ..schemas.plan.plan import Plan
from .clock import Clock, SystemClock
from .executor import Executor
from .local_run import LocalRun
from .providers import Services
from .registry import Registry, default_registry
from .result import RunResult
from .slots import Slots
from .virtual_clock import VirtualClock

FlowSource: TypeAlias = "Plan | Flow | Mapping[str, Any] | str | Path"
"""A compiled plan, a definition, plain data, YAML text (with a line break in it), or the path of a file."""

SLOTS_DEFAULT = 64


class LocalRunner:
    """Runs flows in this event loop. Use it as `async with LocalRunner() as runner`.

    `slots` bounds the attempts that execute at once; `flows` are what sub-flows are found in, by name; `keep` keeps journals and the
    instances of loop and split bodies, for looking at a run after it has ended; `on_emit` gets every event that a flow emits.
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
    ) -> None:
        self.registry = default_registry if registry is None else registry
        self.clock: Clock = SystemClock() if clock is None else clock
        self.services = services or Services(clock=self.clock)
        self.executor = Executor(self.registry, self.services)
        self.slots = Slots(slots)
        self.keep = keep
        self.emitted: list[fx.Emit] = []
        self._flows = dict(flows or {})
        self._on_emit = on_emit
        self._plans: dict[str, Plan] = {}
        self._live: dict[str, LocalRun] = {}
        self._open: dict[str, int] = {}
        self._admission: dict[str, deque[LocalRun]] = {}
        self._moving = False
        if isinstance(self.clock, VirtualClock):
            self.clock.on_sleep = self.went_quiet

    async def __aenter__(self) -> LocalRunner:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Kill what is still running and give back threads, processes and connections."""
        for run in list(self._live.values()):
            run.cancel("the runner was closed", kill=True)
        await asyncio.gather(*(run.ended for run in list(self._live.values())), return_exceptions=True)
        await self.executor.close()

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
        """Start a run and return its handle; the same `run_id` again returns the run that has it.

        Raises InvalidFlow, UsageError (which trigger?), EventRejected (the flow's `inputs` refuse the event).
        """
        plan = self.plan(flow)
        if run_id is not None and run_id in self._live:
            return self._live[run_id]
        check_event(plan, event)
        return self._start(
            plan, encode(event), choose_trigger(plan, trigger), encode(meta), run_id or f"{plan.name}-{uuid.uuid4().hex[:12]}"
        )

    def _start(
        self, plan: Plan, payload: Payload, trigger: str | None, meta: Payload, id: str, parent: tuple[str, rec.Activation] | None = None
    ) -> LocalRun:
        started = rec.RunStarted(id, self.clock.now_ms(), plan.name, plan.digest, trigger, payload, meta, parent)
        run = self._live[id] = LocalRun(self, plan, started)
        if self._open.get(plan.name, 0) < plan.settings.max_concurrent_executions or parent is not None:
            self._admit(run)
        else:
            self._admission.setdefault(plan.name, deque()).append(run)
        return run

    def _admit(self, run: LocalRun) -> None:
        self._open[run.plan.name] = self._open.get(run.plan.name, 0) + 1
        run.begin()

    def forget(self, run: LocalRun) -> None:
        """A run has ended: its place goes to the next one that waits to be admitted."""
        if self._live.pop(run.id, None) is None:
            return
        self._open[run.plan.name] -= 1
        waiting = self._admission.get(run.plan.name)
        if waiting:
            self._admit(waiting.popleft())

    def start_child(self, parent: LocalRun, effect: fx.StartChild) -> LocalRun | rec.Error:
        """Start a sub-flow's run, or say why that cannot be."""
        source = self._flows.get(effect.flow, parent.plan if effect.flow == parent.plan.name else None)
        if source is None:
            known = ", ".join(sorted(self._flows)) or "none"
            return rec.Error("unknown_flow", f"no flow is called {effect.flow!r}; known here: {known}", False)
        try:
            plan = self.plan(source)
            trigger = choose_trigger(plan, None)
        except (InvalidFlow, UsageError) as error:
            return rec.Error(error.code.lower(), f"flow {effect.flow!r} cannot be started: {error}", False)
        if effect.version is not None and effect.version != plan.version:
            return rec.Error("unknown_flow", f"flow {effect.flow!r} is here in version {plan.version}, not {effect.version}", False)
        return self._start(plan, effect.input, trigger, NULL, effect.child, (effect.run, effect.activation))

    # --- events between runs

    def emit(self, effect: fx.Emit) -> None:
        """Hand an event to the runs that wait for it, and to whoever embeds the runner."""
        if self.keep:
            self.emitted.append(effect)
        for run in list(self._live.values()):
            if run.id != effect.run and any(a.kind == "event" and a.name == effect.subject for a in run.awaiting.values()):
                run.deliver(rec.EventReceived(run.id, self.clock.now_ms(), effect.subject, effect.payload, effect.id))
        if self._on_emit is not None:
            self._on_emit(effect)

    # --- virtual time

    def went_quiet(self) -> None:
        """Something has come to rest: if everything has, let virtual time jump, after all callbacks that are due now."""
        if isinstance(self.clock, VirtualClock) and not self._moving:
            self._moving = True
            asyncio.get_running_loop().call_soon(self._advance)

    def _advance(self) -> None:
        self._moving = False
        clock = self.clock
        assert isinstance(clock, VirtualClock)
        if self.slots.running <= clock.sleeping and not any(run.busy for run in self._live.values()):
            clock.advance()


def compile_source(flow: FlowSource, registry: Registry) -> Plan:
    """The plan of a flow in any form. Raises InvalidFlow with positions where there are any."""
    if isinstance(flow, Plan):
        return flow
    types = registry.node_types()
    if isinstance(flow, Flow):
        return compile_flow(flow, types)
    if isinstance(flow, Mapping):
        import json

        loaded = parse_flow(json.dumps(flow).encode(), known_types=types)
    elif isinstance(flow, str) and "\n" in flow:
        loaded = parse_flow(flow.encode(), known_types=types)
    else:
        loaded = load_flow(Path(flow), known_types=types)
    if loaded.plan is None:
        raise InvalidFlow([problem for problem in loaded.problems if problem.severity == "error"])
    return loaded.plan


def choose_trigger(plan: Plan, trigger: str | None) -> str | None:
    """The trigger that a run counts as started by. Raises UsageError if that is not clear, or there is no such trigger."""
    enabled = [each.id for each in plan.triggers if each.enabled]
    if trigger is not None:
        if plan.trigger(trigger) is None:
            raise UsageError(f"flow {plan.name!r} has no trigger {trigger!r}; it has: {', '.join(t.id for t in plan.triggers) or 'none'}")
        if trigger not in enabled:
            raise UsageError(f"trigger {trigger!r} of flow {plan.name!r} is disabled: it never fires")
        return trigger
    if len(enabled) > 1:
        raise UsageError(f"flow {plan.name!r} has several triggers: {', '.join(enabled)}; name one with --trigger (trigger=… in Python)")
    return enabled[0] if enabled else None


async def run(flow: FlowSource, event: Any = None, *, trigger: str | None = None, **options: Any) -> RunResult:
    """Run one flow to its end in this process. `options` are those of LocalRunner (`clock`, `registry`, `flows`, …)."""
    async with LocalRunner(**options) as runner:
        return await runner.run(flow, event, trigger=trigger)
