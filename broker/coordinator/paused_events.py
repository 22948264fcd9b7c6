"""Paused events: those that others publish for a paused trigger stay in EVENTS, and cost nothing however many they are.

    nothing was ever decided about a trigger     flow-<flow>             events.<flow>, events.<flow>.>
    from the first decision on                   flow-<flow>             events.<flow>
                                                 flow-<flow>@<trigger>   events.<flow>.<trigger>, for each trigger

Of a paused or draining flow none is asked.

Whose consumer is not asked gets nothing: events of a paused trigger are neither delivered nor given back, and take no place among those
that are under way. A consumer never goes back to what it has passed, so none is ever given more subjects than it had; and one that is
deleted while it is made again under its name can be broken for good (nats-server 2.15), so none is deleted. One that is made new begins
with the first message in the stream: what was under way comes a second time, and is the same run.

In this second form nobody asks for events that name a trigger which the flow does not have: stray_events.py looks for those.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...schemas.errors import UsageError
from ...schemas.messages import PAUSED, RUNNING
from ...schemas.plan.events import choose_trigger
from ...schemas.plan.plan import Plan
from ..flows import Flows


def decisions(flows: Flows, plan: Plan) -> dict[str, str]:
    """What somebody has decided about the flow's triggers: `paused` or `disabled`, by id."""
    return {id: decided.state for id, decided in flows.trigger_states(plan.name).items() if decided.state != RUNNING}


def consumers(flows: Flows, flow: str) -> Iterator[tuple[str, bool]]:
    """The consumers of a flow's events, by the trigger that each is for ("": the flow's own), and whether it is to be asked now."""
    decided, plan = flows.trigger_states(flow), flows.current(flow)
    going = not flows.is_held(flow)
    paused = {id for id, decision in decided.items() if decision.state == PAUSED}
    yield "", going and (plan is None or _only_trigger(plan) not in paused)
    if decided:
        known = {*decided, *(trigger.id for version in flows.begun_with(flow) for trigger in version.triggers)}
        yield from ((id, going and id not in paused) for id in sorted(known))


def _only_trigger(plan: Plan) -> str | None:
    """The trigger of events that name none."""
    try:
        return choose_trigger(plan, None)
    except UsageError:
        return None
