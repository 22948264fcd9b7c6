"""A journal, printed: one line per record, in the order in which the run took them in."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import decode
from ...schemas.plan.plan import Plan
from ...schemas.records import Activation, Error, Record, TimerId

_PAYLOADS = frozenset(("payload", "meta", "output", "input", "metadata"))
_SHOWN_ELSEWHERE = frozenset(("run", "at"))


def record_value(number: int, record: Record, plan: Plan) -> dict[str, Any]:
    """The record as plain data: its number from 0 on, its kind, its fields with activations by their keys and payloads decoded.

    What says nothing (None, null payloads, empty texts) is left out.
    """
    fields = {name: field_value(name, getattr(record, name), plan) for name in record.__struct_fields__ if name not in _SHOWN_ELSEWHERE}
    said = {name: value for name, value in fields.items() if value not in (None, "", 0, False)}
    return {"record": number, "at": record.at, "kind": type(record).__name__, **said}


def time_of_day(ms: int) -> str:
    """In local time, to the millisecond."""
    return datetime.fromtimestamp(ms / 1000).strftime("%H:%M:%S.%f")[:-3]


def key(activation: Activation, plan: Plan) -> str:
    """`charge[2]`: the node's id and the iterations around it."""
    index, *path = activation
    known = isinstance(index, int) and 0 <= index < len(plan.nodes)
    return (plan.nodes[index].id if known else str(index)) + "".join(f"[{step}]" for step in path)  # type: ignore[index]


def field_value(name: str, value: Any, plan: Plan) -> Any:
    """A field of a record or an effect as plain data."""
    if name in _PAYLOADS:
        try:
            return decode(value)
        except UnreadablePayload as error:
            return f"<{error}>"
    if name == "activation" and value:
        return key(value, plan)
    if isinstance(value, Error):
        return value.as_value()
    if isinstance(value, TimerId):
        return f"{value.purpose} of {key(value.activation, plan) if value.activation else 'the run'}"
    return msgspec.to_builtins(value, enc_hook=str)
