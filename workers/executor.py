"""The executor: one task in, one completion out.

    resolve     find the node's code, resolve the selectors of its config, bind the one to the other
    perform     take, call, give: here, in the loop, in a thread, or in a process
    report      the completion, with who did it and how long it took

Two ways lead through it. `execute_inline` is for nodes that are done in microseconds (the standard data nodes): a plain
call. `execute` is for all nodes: it waits, has a timeout, and can be cancelled.

Neither raises for anything that node code does. Does not retry, nor know of limits and acknowledgements.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from time import monotonic, perf_counter_ns
from typing import Any

import msgspec

from ..broker.payloads.bodies import CHECKED_AT_ONCE_BYTES
from ..broker.payloads.plane import Plane
from ..schemas.effects import Dispatch
from ..schemas.errors import Permanent, UnreadablePayload
from ..schemas.messages import Task
from ..schemas.payload import refs_in
from ..schemas.payload_errors import ArenaFull, PayloadElsewhere
from ..schemas.plan.binding import lookup
from ..schemas.plan.plan import Plan, PlanNode
from ..schemas.records import Completion
from ..schemas.ref import Ref, may_hold_ref
from .attempt import perform, perform_async, timed_out
from .context import Context
from .deadline import Deadline
from .faults import fail
from .files import make_file
from .handover import Handover
from .identity import Identity
from .outcome import Outcome
from .processes import Job, Processes, can_travel, start_fork_server
from .providers import Services
from .registry import Registry
from .spec import Bound
from .threads import Threads

NODE_TIMEOUT_MS_DEFAULT = 30_000
WAITING_MAX = 0.9
"""After this share of its timeout an attempt waits for room in the arena no more: it should fail by what it lacks, not by the timeout."""
HEAD_START_S = 0.001
"""Of the node before the check of what it was given, which wants a core for itself: so long the node needs to begin."""
APART_MAX = 8
"""Processes for attempts that are to be executed apart: more than may be innocent and wait for long, few enough for a small machine."""
PREPARED_MAX = 10_000
"""Bound nodes that are kept; flows that are deployed again and again must not fill the memory."""


@dataclass(slots=True)
class Work:
    """A task, with the plan that it belongs to."""

    plan: Plan
    node: PlanNode
    dispatch: Dispatch | Task
    apart: bool = False


class Executor:
    """Executes tasks with the nodes of a registry. `worker` signs the completions.

    `apart`: in a process that may die without harm to this one, also if the node's mode is another; as far as it can be sent there.
    """

    def __init__(
        self,
        registry: Registry,
        services: Services | None = None,
        *,
        worker: str = "",
        processes: int | None = None,
        plane: Plane | None = None,
    ) -> None:
        self.registry = registry
        self.plane = Plane() if plane is None else plane
        self.plane.materialise = make_file
        self.services = Services() if services is None else services
        self.worker = worker
        self.threads = Threads()
        self.processes = Processes(processes or os.cpu_count() or 1, registry.files)
        self._apart = Processes(APART_MAX, registry.files)
        self._services_are_ours = services is None
        self._bound: dict[tuple[str, int], Bound] = {}

    def expect_processes(self) -> None:
        """Prepare for the processes of nodes, if there are nodes that will have some."""
        if any(spec.mode == "process" for spec in self.registry.own().values()):
            start_fork_server()

    def is_inline(self, node: PlanNode) -> bool:
        """Whether `execute_inline` may be used: nothing in the node waits. True also for a type that nobody serves: refusing is quick."""
        spec = self.registry.get(node.type)
        return spec is None or spec.mode == "inline"

    def execute_inline(self, plan: Plan, node: PlanNode, dispatch: Dispatch | Task) -> Completion:
        """Execute a node for which `is_inline` and `is_at_hand` hold. Raises ArenaFull: `execute` can wait for room."""
        started = perf_counter_ns()
        work = Work(plan, node, dispatch)
        try:
            bound = self._resolve(work)
            context = self._context(work, bound) if bound.spec.wants_context else None
        except Exception as error:
            return self._report(work, fail(error), started)
        return self._report(work, perform(bound, self._handover(work, bound), context, wait=False), started)

    def is_in_process(self, node: PlanNode) -> bool:
        spec = self.registry.get(node.type)
        return spec is not None and spec.mode == "process"

    def is_at_hand(self, plan: Plan, dispatch: Dispatch | Task) -> bool:
        """Whether an inline node may be executed in the event loop: nothing has to be fetched, nothing stored, nothing large read."""
        if plan.payloads.durability != "host":
            return False
        try:
            return not _refs(dispatch)
        except UnreadablePayload:
            return False  # which is said where the attempt is executed

    async def execute(self, plan: Plan, node: PlanNode, dispatch: Dispatch | Task, apart: bool = False) -> Completion:
        """Execute any node. Raises CancelledError if the attempt is cancelled: then there is nothing to report."""
        started = perf_counter_ns()
        work = Work(plan, node, dispatch, apart)
        try:
            refs = _refs(dispatch)
            outcome = await self._with_refs(work, refs) if refs else await self._perform(work, self._resolve(work), ())
            if outcome.error is None and plan.payloads.durability == "object-store":
                outcome.output = await self.plane.durable(outcome.output, dispatch.run)
        except Exception as error:
            outcome = fail(error)
        return self._report(work, outcome, started)

    async def _with_refs(self, work: Work, refs: Sequence[Ref]) -> Outcome:
        """The outcome of an attempt that reads what lies elsewhere. One that read what was damaged counts for nothing: if somebody has the
        right bytes they are fetched, and it is done over.
        """
        try:
            return await self._beside_check(work, refs if self._reads_them_anyway(work, refs) else await self.plane.here(refs))
        except PayloadElsewhere:
            return await self._beside_check(work, await self.plane.here(refs))

    def _reads_them_anyway(self, work: Work, refs: Sequence[Ref]) -> bool:
        """Whether the node finds out by itself what `here` would. A node that only moves values about may look at none."""
        spec = self.registry.get(work.node.type)
        return spec is not None and not spec.moves and self.plane.are_at_hand(refs)

    async def _beside_check(self, work: Work, refs: Sequence[Ref]) -> Outcome:
        """A view of any size is there at once, and checked while the node works with it.

        Raises PayloadLost, PayloadElsewhere, whatever came of the work.
        """
        large = [ref for ref in refs if ref.length > CHECKED_AT_ONCE_BYTES]
        checking = asyncio.create_task(self._check(large)) if large else None
        try:
            try:
                if any(map(may_hold_ref, work.dispatch.needs)):
                    bound = await self.threads.run(partial(self._resolve, work))  # its config may have to read much
                else:
                    bound = self._resolve(work)
                outcome = await self._perform(work, bound, refs)
            except Exception as error:
                outcome = fail(error)
            if checking is not None:
                await checking
            return outcome
        finally:
            if checking is not None:
                if checking.done() and not checking.cancelled():
                    checking.exception()  # of an attempt that was called off: nobody else looks
                checking.cancel()

    async def _check(self, refs: Sequence[Ref]) -> None:
        await asyncio.sleep(HEAD_START_S)
        await self.threads.run(partial(self.plane.check, refs))

    async def close(self) -> None:
        """Stop the processes, let go of the threads, close connections. Attempts that still run are lost."""
        self.processes.close()
        self._apart.close()
        self.threads.close()
        self.plane.close()
        await self.services.close()

    def _resolve(self, work: Work) -> Bound:
        key = (work.plan.digest, work.node.index)
        bound = self._bound.get(key)
        if bound is None:
            bound = self._bind(work)
            if work.node.template is None or work.node.template.constant:
                if len(self._bound) >= PREPARED_MAX:
                    self._bound.clear()
                self._bound[key] = bound
        return bound

    def _bind(self, work: Work) -> Bound:
        node, dispatch = work.node, work.dispatch
        spec = self.registry.get(node.type)
        if spec is None:
            raise Permanent(
                f"no node type `{node.type}` is registered on this worker; load its module with --nodes", type="unknown_node_type"
            )
        config: Any = None
        if node.template is not None:
            find = lookup(work.plan, node.roots, dispatch.needs, dispatch.run, dispatch.activation)
            read = self.plane.resolve
            config = node.template.render(find if spec.moves else lambda selector: read(find(selector)), read)
        config = {} if config is None else config  # as in the standard nodes: no config counts as an empty one
        return Bound(spec, config, spec.prepare(config))

    def _context(self, work: Work, bound: Bound, handover: Handover | None = None) -> Context:
        return Context(_identity(work), self.services, bound.config, work.plan.settings.env, handover=handover)

    def _handover(self, work: Work, bound: Bound, refs: Sequence[Ref] = (), give_up_at_s: float = inf) -> Handover:
        return Handover(self.plane, work.dispatch, work.plan.payloads, refs, bound.spec.idempotent, bound.spec.raw, give_up_at_s)

    async def _perform(self, work: Work, bound: Bound, refs: Sequence[Ref]) -> Outcome:
        timeout_ms = work.node.timeout_ms or bound.spec.timeout_ms or NODE_TIMEOUT_MS_DEFAULT
        handover = self._handover(work, bound, refs, monotonic() + WAITING_MAX * timeout_ms / 1_000)
        try:
            return await self._perform_by_mode(work, bound, handover, timeout_ms)
        finally:
            handover.give_up()

    async def _perform_by_mode(self, work: Work, bound: Bound, handover: Handover, timeout_ms: int) -> Outcome:
        spec = bound.spec
        if spec.mode == "process" and spec.function is not None:
            return await self.processes.run(_job(work, bound, handover, timeout_ms), timeout_ms)
        if work.apart and self._services_are_ours:
            job = _job(work, bound, handover, timeout_ms)
            if can_travel(job):
                return await self._apart.run(job, timeout_ms)
        context = self._context(work, bound, handover) if spec.wants_context else None
        if spec.mode == "async":
            return await perform_async(bound, handover, context, Deadline(self.services.clock, timeout_ms), self.threads)
        if spec.mode == "inline" and not handover.refs:
            with suppress(ArenaFull):
                return perform(bound, handover, context, wait=False)
        return await self._perform_in_thread(partial(perform, bound, handover, context, wait=True), context, timeout_ms)

    async def _perform_in_thread(self, function: Callable[[], Outcome], context: Context | None, timeout_ms: int) -> Outcome:
        try:
            with Deadline(self.services.clock, timeout_ms):
                return await self.threads.run(function)
        except TimeoutError:
            return timed_out(timeout_ms)
        finally:
            # Whoever is still at work in the thread can see that nobody waits any more.
            if context is not None:
                context.cancelled.set()

    def _report(self, work: Work, outcome: Outcome, started: int) -> Completion:
        dispatch = work.dispatch
        error = outcome.error
        if error is not None:
            hide = self.services.secrets.redact  # what is recorded is read by more people than may know a secret
            error = msgspec.structs.replace(
                error, node=work.node.id, attempts=dispatch.attempt, message=hide(error.message), details=hide(error.details)
            )
        return Completion(
            run=dispatch.run,
            at=self.services.clock.now_ms(),
            activation=dispatch.activation,
            attempt=dispatch.attempt,
            port=outcome.port,
            output=outcome.output,
            error=error,
            retry_after_ms=outcome.retry_after_ms,
            worker=self.worker,
            took_us=(perf_counter_ns() - started) // 1_000,
        )


def _refs(dispatch: Dispatch | Task) -> list[Ref]:
    """All refs that the attempt is given, with its input and for its config."""
    refs = refs_in(dispatch.input)
    for need in dispatch.needs:
        refs += refs_in(need)
    return refs


def _job(work: Work, bound: Bound, handover: Handover, timeout_ms: int) -> Job:
    spec, env = bound.spec, work.plan.settings.env
    return Job(spec.name, spec.function, bound.config, spec.ports, handover.told(), _identity(work), env, timeout_ms)


def _identity(work: Work) -> Identity:
    return Identity(work.dispatch.run, work.node.id, work.dispatch.activation, work.dispatch.attempt)
