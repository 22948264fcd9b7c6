"""Events: which trigger one came by, and whether it fits the flow's `inputs`: a JSON Schema that the payload of every trigger must fit.

The schema itself is checked when the flow is compiled; `value_schema.py` says how values are held against it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..errors import EventRejected, SeveralTriggers, UsageError
from ..flow.problems import Problem
from ..value_schema import UNREADABLE, flaw, misfits, one_line
from .plan import Plan, PlanTrigger


def check_inputs(inputs: Any) -> list[Problem]:
    """What keeps a flow's `inputs` from being a JSON Schema; nothing if it has none."""
    found = None if inputs is None else flaw(inputs)
    if found is None:
        return []
    what, place, hint = found
    return [Problem("INVALID_VALUE", f"`inputs` is no JSON Schema: {what}", ("inputs", *place), hint)]


def check_event(plan: Plan, value: Any) -> None:
    """Raises EventRejected with what is wrong and where, if the flow has `inputs` and the value does not fit them."""
    if plan.inputs is None:
        return
    try:
        found = misfits(plan.inputs, value, "event")
    except RecursionError:
        raise EventRejected(f"the event is nested too deeply to be checked against the inputs of flow {plan.name!r}") from None
    except UNREADABLE as error:
        raise EventRejected(f"the event cannot be checked against the inputs of flow {plan.name!r}: {one_line(error)}") from None
    if found:
        raise EventRejected(f"the event does not fit the inputs of flow {plan.name!r}: {found}")


def choose_trigger(plan: Plan, trigger: str | None, disabled: Collection[str] = ()) -> str | None:
    """The trigger that a run counts as started by. `disabled`: those that somebody has switched off since they were deployed.

    Raises UsageError if it is not clear which one, there is no such trigger, or it is disabled.
    """
    if trigger is not None:
        found = plan.trigger(trigger)
        if found is None:
            raise UsageError(f"flow {plan.name!r} has no trigger {trigger!r}; it has: {', '.join(t.id for t in plan.triggers) or 'none'}")
        if not found.enabled or trigger in disabled:
            raise UsageError(f"trigger {trigger!r} of flow {plan.name!r} is disabled{_enabling(plan, found)}: it never fires")
        return trigger
    enabled = [each.id for each in plan.triggers if each.enabled]
    running = [id for id in enabled if id not in disabled]
    if enabled and not running:
        todo = f"`jetfleet trigger enable {plan.name}` ends that"
        raise UsageError(f"all triggers of flow {plan.name!r} are disabled: {', '.join(enabled)}; {todo}")
    if len(running) > 1:
        raise SeveralTriggers(plan.name, running)
    return running[0] if running else None


def _enabling(plan: Plan, trigger: PlanTrigger) -> str:
    """How a trigger is switched on that somebody has switched off."""
    return f" (`jetfleet trigger enable {plan.name} {trigger.id}` ends that)" if trigger.enabled else ""
