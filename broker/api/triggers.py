"""Triggers from outside: which there are, who serves them, and what somebody decides about them.

Guarantees: when a decision (pause, disable, …) returns it is on disk and this client knows it; whoever serves the trigger knows it a moment
later, or as soon as it is there. It outlives restarts and deployments.
Does not: tell what was in flight when a trigger was paused. That becomes events as well.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...schemas import messages, subjects
from ...schemas.errors import UsageError
from ...schemas.messages import DISABLED, PAUSED, RUNNING, TriggerState
from ...schemas.plan.events import choose_trigger
from ...schemas.plan.plan import Plan, PlanTrigger
from ..client import Connection
from ..fleet.roll_call import roll_call
from ..flows import Flows
from ..triggers.serving import FAILING, Serving, heard
from .errors import UnknownFlow, UnknownTrigger


@dataclass(frozen=True, slots=True)
class TriggerView:
    """A trigger of a deployed flow. `state`: running, paused or disabled, by decision (`reason`, `since` in ms) or in the flow itself.

    `served`: what each process that serves it says, by the member's id.
    """

    flow: str
    id: str
    type: str
    params: Any
    state: str
    reason: str = ""
    since: int = 0
    in_flow: bool = True
    """False: the flow's definition itself says `enabled: false`."""
    served: Mapping[str, Serving] = field(default_factory=dict)

    @property
    def condition(self) -> str:
        """Its `state`; or `failing`, where it should run and fails in a process that serves it."""
        return FAILING if self.state == RUNNING and self.error else self.state

    @property
    def fired(self) -> int:
        """How often, since the processes that serve it began."""
        return sum(each.fired for each in self.served.values())

    @property
    def last_at(self) -> int:
        """When it fired last, ms since the epoch; 0: not since these processes began."""
        return max((each.last_at for each in self.served.values()), default=0)

    @property
    def error(self) -> str:
        """Why it fails, where it fails; "" where it does not."""
        return next((each.error for each in self.served.values() if each.state == FAILING), "")


class TriggerControl:
    """The calls that `Client` passes on. All raise BrokerError, and UnknownFlow or UnknownTrigger."""

    def __init__(self, connection: Connection, flows: Flows) -> None:
        self._connection = connection
        self._flows = flows

    async def views(self, flow: str | None = None) -> list[TriggerView]:
        """Of one flow or all that are deployed, by flow, in the order of the definition."""
        members = [present.member for present in await roll_call(self._connection)]
        served: dict[tuple[str, str], dict[str, Serving]] = {}
        for member in members:
            for each in heard(member.facts):
                served.setdefault((each.flow, each.trigger), {})[member.id] = each
        plans = [self._plan(flow)] if flow is not None else filter(None, map(self._flows.current, self._flows.names()))
        return list(self._views(plans, served))

    async def view(self, flow: str, trigger: str) -> TriggerView:
        find(self._plan(flow), trigger)
        return next(view for view in await self.views(flow) if view.id == trigger)

    async def decide(self, flow: str, trigger: str, verb: str, reason: str = "") -> TriggerState:
        """`verb`: pause, resume, enable or disable. The state that the trigger has then. Raises UsageError where it makes no sense."""
        found = find(self._plan(flow), trigger)
        before = self._flows.trigger_state(flow, trigger)
        state = _after(verb, found, before)
        if state == before.state:
            return before
        now = TriggerState(flow, trigger, state, reason, time.time_ns() // 1_000_000)
        await self._connection.publisher.publish(subjects.trigger_state(flow, trigger), messages.encode(now))
        await self._flows.caught_up()
        return self._flows.trigger_state(flow, trigger)

    def choose(self, plan: Plan, trigger: str | None) -> str | None:
        """The trigger that fires: the named one, or the only one. Raises UnknownTrigger, UsageError if it is disabled or unclear."""
        if trigger is not None:
            find(plan, trigger)
        return choose_trigger(plan, trigger, self.disabled(plan))

    def held(self, flow: str, trigger: str | None) -> str:
        """Why an event of the trigger waits, "" if it does not."""
        decided = self._flows.state(flow)
        if decided.state != RUNNING:
            why = f" ({decided.reason})" if decided.reason else ""
            return f"flow {flow!r} is {decided.state}{why}: the run begins once `jetfleet flow resume {flow}` ends that"
        said = None if trigger is None else self._flows.trigger_state(flow, trigger)
        if said is None or said.state != PAUSED:
            return ""
        why = f" ({said.reason})" if said.reason else ""
        return (
            f"trigger {trigger!r} of flow {flow!r} is paused{why}: the run begins once `jetfleet trigger resume {flow} {trigger}` ends that"
        )

    def disabled(self, plan: Plan) -> list[str]:
        """The triggers of a flow that somebody has disabled."""
        return [each.id for each in plan.triggers if self._flows.trigger_state(plan.name, each.id).state == DISABLED]

    def _plan(self, flow: str) -> Plan:
        plan = self._flows.current(flow)
        if plan is None:
            raise UnknownFlow(flow, self._flows.names())
        return plan

    def _views(self, plans: Iterable[Plan], served: Mapping[tuple[str, str], Mapping[str, Serving]]) -> Iterator[TriggerView]:
        for plan in plans:
            for each in plan.triggers:
                said = self._flows.trigger_state(plan.name, each.id)
                yield TriggerView(
                    plan.name, each.id, each.type, each.params, said.state if each.enabled else DISABLED, said.reason, said.at,
                    each.enabled, served.get((plan.name, each.id), {}),
                )  # fmt: skip


def find(plan: Plan, trigger: str) -> PlanTrigger:
    """The trigger with this id. Raises UnknownTrigger."""
    found = plan.trigger(trigger)
    if found is None:
        raise UnknownTrigger(plan.name, trigger, [each.id for each in plan.triggers])
    return found


def _after(verb: str, trigger: PlanTrigger, before: TriggerState) -> str:
    """The state that a decision leads to."""
    where = f"trigger {trigger.id!r} of flow {before.flow!r}"
    if not trigger.enabled and verb != "disable":
        raise UsageError(f"{where} is disabled in the flow's definition: write `enabled: true` there and deploy it")
    if verb in ("pause", "resume") and before.state == DISABLED:
        raise UsageError(f"{where} is disabled: `jetfleet trigger enable {before.flow} {trigger.id}` ends that")
    if verb == "enable":
        return RUNNING if before.state == DISABLED else before.state
    return {"pause": PAUSED, "resume": RUNNING, "disable": DISABLED}[verb]
