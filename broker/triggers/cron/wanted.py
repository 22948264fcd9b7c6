"""Whether a cron trigger is wanted, and with which params: as the deployed flows say, as far as this process has read them."""

from __future__ import annotations

from ....schemas.flow.triggers.cron import CronParams
from ....schemas.messages import DISABLED, PAUSED
from ...flows import Flows
from ...trigger_params import params_of

CRON = "cron"


def is_wanted(flows: Flows, flow: str, trigger: str) -> bool:
    """Whether somebody serves it, here or elsewhere. Of a version that cannot be read here it is assumed."""
    if flows.version(flow) is None or flows.trigger_state(flow, trigger).state == DISABLED:
        return False
    plan = flows.current(flow)
    return plan is None or any(each.id == trigger and each.type == CRON and each.enabled for each in plan.triggers)


def wanted_params(flows: Flows, flow: str, trigger: str) -> CronParams | None:
    """Its params now; None: it is not wanted, or they cannot be read here."""
    plan = flows.current(flow)
    if plan is None or not is_wanted(flows, flow, trigger):
        return None
    found = params_of(plan, next(each for each in plan.triggers if each.id == trigger))
    return found if isinstance(found, CronParams) else None


def is_paused(flows: Flows, flow: str, trigger: str) -> bool:
    return flows.trigger_state(flow, trigger).state == PAUSED
