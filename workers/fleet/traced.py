"""Executing with a span around each attempt where tracing is on; where it is off, executing and nothing else."""

from __future__ import annotations

from collections.abc import Callable

from ...broker.observe.tracing import OFF, Tracing
from ...schemas.messages import Task
from ...schemas.plan.plan import Plan, PlanNode
from ...schemas.records import Completion
from ..executor import Executor


class Traced:
    """`inline` and `execute` are the executor's `execute_inline` and `execute`."""

    def __init__(self, executor: Executor, tracing: Tracing = OFF) -> None:
        self.executor = executor
        self._tracing = tracing
        self.inline: Callable[[Plan, PlanNode, Task], Completion] = self._inline if tracing.on else executor.execute_inline

    async def execute(self, plan: Plan, node: PlanNode, task: Task, apart: bool = False) -> Completion:
        if not self._tracing.on:
            return await self.executor.execute(plan, node, task, apart)
        with self._tracing.attempt(task, plan, node) as span:
            completion = await self.executor.execute(plan, node, task, apart)
            span.ended(completion)
            return completion

    def _inline(self, plan: Plan, node: PlanNode, task: Task) -> Completion:
        with self._tracing.attempt(task, plan, node) as span:
            completion = self.executor.execute_inline(plan, node, task)
            span.ended(completion)
            return completion
