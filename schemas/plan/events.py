"""Events against a flow's `inputs`: a JSON Schema that the payload of every trigger must fit."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jsonschema_rs
import msgspec

from ..errors import EventRejected
from .plan import Plan

PROBLEMS_SHOWN = 5


def check_event(plan: Plan, value: Any) -> None:
    """Raises EventRejected with what is wrong and where, if the flow has `inputs` and the value does not fit them."""
    if plan.inputs is None:
        return
    errors = list(_validator(msgspec.json.encode(plan.inputs)).iter_errors(value))
    if errors:
        found = [f"{'.'.join(map(str, error.instance_path)) or 'event'}: {error.message}" for error in errors[:PROBLEMS_SHOWN]]
        more = f" (and {len(errors) - PROBLEMS_SHOWN} more)" if len(errors) > PROBLEMS_SHOWN else ""
        raise EventRejected(f"the event does not fit the inputs of flow {plan.name!r}: {'; '.join(found)}{more}")


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(msgspec.json.decode(schema))
