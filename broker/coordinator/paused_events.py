"""Paused events: those that others publish for a paused trigger stay in EVENTS, where the server keeps them off.

The flow's consumer does not ask for their subjects, so they cost nothing however many they are: they are not delivered and given back, and
take no place among those that are under way. A consumer that has gone past a message never goes back to it. So when a trigger is resumed the
consumer is made anew, and begins with the first message in the stream; what was under way comes a second time, and is the same run.

Which subjects that are follows from what is deployed and decided, so coordinators need not agree: the last one to look finds it done.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...schemas import subjects
from ...schemas.errors import UsageError
from ...schemas.flow.triggers.queue import matches
from ...schemas.messages import PAUSED, RUNNING
from ...schemas.plan.events import choose_trigger
from ...schemas.plan.plan import Plan
from ..client import Connection
from ..flows import Flows
from ..topology import flow_consumer, flow_consumer_config

_NOTHING = "-"
"""No trigger is called so."""


def decisions(flows: Flows, plan: Plan) -> dict[str, str]:
    """What somebody has decided about the flow's triggers: `paused` or `disabled`, by id."""
    states = {trigger.id: flows.trigger_state(plan.name, trigger.id).state for trigger in plan.triggers}
    return {id: state for id, state in states.items() if state != RUNNING}


def subjects_taken(flows: Flows, flow: str) -> list[str]:
    """The subjects of the flow whose events may become runs, or dead letters, now.

    While a trigger is paused, those of triggers that the flow does not have wait too: there is no way to ask for all but some.
    """
    everything = flow_consumer_config(flow)["filter_subjects"]
    plan = flows.current(flow)
    paused = set() if plan is None else {id for id, state in decisions(flows, plan).items() if state == PAUSED}
    if plan is None or not paused:
        return list(everything)
    taken = [subjects.event(flow, trigger.id) for trigger in plan.triggers if trigger.id not in paused]
    if _only_trigger(plan) not in paused:
        taken.append(subjects.event(flow))
    return taken or [subjects.event(flow, _NOTHING)]


async def take_from(connection: Connection, flow: str, wanted: Sequence[str]) -> None:
    """Have the flow's consumer take the messages on these subjects. Raises BrokerError."""
    config = flow_consumer_config(flow) | {"filter_subjects": list(wanted)}
    info = await connection.streams.consumer_info(subjects.EVENTS, flow_consumer(flow))
    if info is not None:
        present = info["config"].get("filter_subjects") or [info["config"].get("filter_subject", "")]
        if set(present) == set(wanted):
            return
        if not all(any(matches(pattern, subject) for pattern in present) for subject in wanted):
            await connection.streams.delete_consumer(subjects.EVENTS, flow_consumer(flow))
    await connection.streams.create_or_update_consumer(subjects.EVENTS, config)


def _only_trigger(plan: Plan) -> str | None:
    """The trigger of events that name none."""
    try:
        return choose_trigger(plan, None)
    except UsageError:
        return None
