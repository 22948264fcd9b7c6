"""Bindings: which sources the deployed flows want, and which triggers listen to each.

Triggers of one type with the same params are one source, whichever flows they are in: a topic is consumed once, a folder watched once, and
each firing is an event for every one of them. Queue triggers share a source by the name of their queue, and all those that listen to
subjects share one: it knows which of them a message is for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from ...schemas.flow.definition import Block
from ...schemas.flow.triggers.queue import QueueParams
from ...schemas.messages import DISABLED, PAUSED
from ...schemas.plan.plan import Plan, PlanTrigger
from ..flows import Flows
from ..trigger_params import params_of
from .source import Spec

PRIVATE = frozenset(("manual", "memory", "cron"))
"""Types whose triggers are addressed by flow and id, or look at the runs of one: each is a source of its own."""


@dataclass(slots=True)
class Binding:
    """A source that is wanted. `bound`: the triggers that listen. `paused`: all of them are."""

    spec: Spec
    bound: list[tuple[str, str]] = field(default_factory=list)
    paused: bool = True


def bindings(flows: Flows, types: Collection[str], only: Collection[str] = ()) -> dict[str, Binding]:
    """The sources of these types that are wanted now, by what tells them apart. `only`: of these flows; none: of all."""
    found: dict[str, Binding] = {}
    for plan, trigger in _enabled(flows, types, only):
        flow, state = plan.name, flows.trigger_state(plan.name, trigger.id).state
        if state == DISABLED:
            continue
        params = params_of(plan, trigger)
        if params is None:
            continue
        owner = [flow, trigger.id] if trigger.type in PRIVATE else []
        key = msgspec.json.encode([trigger.type, _shared(params, flow, trigger.id), owner]).decode()
        binding = found.setdefault(key, Binding(Spec(trigger.type, params, ((flow, trigger.id),))))
        binding.bound.append((flow, trigger.id))
        binding.paused = binding.paused and state == PAUSED
    for binding in found.values():
        binding.spec = replace(binding.spec, triggers=tuple(binding.bound))
    return found


def _shared(params: Block, flow: str, trigger: str) -> Any:
    """What triggers of a type have in common that share a source: their params; of queue triggers the queue, or that it is none."""
    return params.queue(flow, trigger) if isinstance(params, QueueParams) else params.model_dump(mode="json")


def _enabled(flows: Flows, types: Collection[str], only: Collection[str]) -> Iterator[tuple[Plan, PlanTrigger]]:
    for flow in flows.names():
        plan = flows.current(flow) if not only or flow in only else None
        if plan is not None:
            yield from ((plan, trigger) for trigger in plan.triggers if trigger.enabled and trigger.type in types)
