"""A bench on which one node of a real flow is executed, as a worker would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jetfleet.schemas.effects import Dispatch
from jetfleet.schemas.payload import decode, encode
from jetfleet.schemas.plan.plan import Plan, PlanNode, Source
from jetfleet.schemas.records import Completion
from jetfleet.schemas.source.loader import parse_flow
from jetfleet.workers.executor import Executor
from jetfleet.workers.providers import Services
from jetfleet.workers.registry import Registry


@dataclass(slots=True)
class Bench:
    """`registry` is where tests register own nodes. `others` are the outputs of nodes before the one that is executed."""

    registry: Registry = field(default_factory=Registry)
    services: Services = field(default_factory=Services)

    def flow(self, type: str, config: Any = None, others: Mapping[str, Any] | None = None, **node: Any) -> tuple[Plan, PlanNode]:
        """A flow in which `subject` follows the `others`."""
        names = list(others or {})
        definition = {
            "name": "bench",
            "config": {"limit": 100, "greeting": "hi"},
            "settings": {"env": {"REGION": "north"}},
            "nodes": {
                **{name: {"type": "std::set", "config": {"values": 0}} for name in names},
                "subject": {"type": type, "config": config, **node},
            },
            "edges": [{"from": name, "to": "subject"} for name in names],
        }
        loaded = parse_flow(json.dumps(definition).encode(), known_types=self.registry.node_types())
        assert loaded.plan is not None, loaded.problems
        return loaded.plan, loaded.plan.node("subject")

    def execute(
        self, type: str, value: Any = None, config: Any = None, others: Mapping[str, Any] | None = None, *, attempt: int = 1, **node: Any
    ) -> Completion:
        plan, subject = self.flow(type, config, others, **node)
        needs = tuple(encode((others or {})[plan.nodes[need.index].id]) for need in subject.needs if need.source == Source.NODE)
        dispatch = Dispatch("run-1", (subject.index,), attempt, encode(value), needs)
        return asyncio.run(self._execute(plan, subject, dispatch))

    async def _execute(self, plan: Plan, subject: PlanNode, dispatch: Dispatch) -> Completion:
        executor = Executor(self.registry, self.services, worker="w1", processes=1)
        try:
            if executor.is_inline(subject):
                return executor.execute_inline(plan, subject, dispatch)
            return await executor.execute(plan, subject, dispatch)
        finally:
            await executor.close()

    def output(self, *args: Any, **kwargs: Any) -> Any:
        """What the node put out; it must not have failed."""
        completion = self.execute(*args, **kwargs)
        assert completion.error is None, completion.error
        return decode(completion.output)

    def error(self, *args: Any, **kwargs: Any) -> Any:
        """How the node failed."""
        completion = self.execute(*args, **kwargs)
        assert completion.error is not None, decode(completion.output)
        return completion.error
