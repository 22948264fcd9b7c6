"""The params of deployed triggers, as this version understands them.

They are asked for with every change of any flow and with every message that is sent, so each is read once.
Does not: raise. What another version took and this one refuses is said in the log, once, without the values: nobody may see those.
"""

from __future__ import annotations

import structlog
from pydantic import ValidationError

from ..schemas.flow.definition import Block
from ..schemas.flow.trigger_types import TRIGGER_TYPES, parse_params
from ..schemas.plan.plan import Plan, PlanTrigger

READ_MAX = 100_000
_read: dict[tuple[str, str], Block | None] = {}
log = structlog.get_logger("jetfleet.triggers")


def params_of(plan: Plan, trigger: PlanTrigger) -> Block | None:
    """None: they are not valid here."""
    key = plan.digest, trigger.id
    if key not in _read:
        if len(_read) >= READ_MAX:
            _read.clear()
        _read[key] = _parsed(plan, trigger)
    return _read[key]


def _parsed(plan: Plan, trigger: PlanTrigger) -> Block | None:
    try:
        return parse_params(TRIGGER_TYPES[trigger.type], trigger.params)
    except ValidationError as error:  # deployed by another version, which took them
        log.error("the params of a trigger are not valid here", flow=plan.name, trigger=trigger.id, reason=_reason(error))
        return None


def _reason(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in found)
