"""Answers: what somebody may tell an approval or a signal's wait, and what is said against it.

An answer to an approval is a map: `decision` (approve, reject or escalate, also as approved, rejected, escalated, in any case), `response`,
`reason` and `by`, who decided. What a wait's `schema` describes is the response of an answer, or the whole value of a signal; an answer
other than approve may come without a response.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...schemas import payload as payloads
from ...schemas.errors import UnreadablePayload
from ...schemas.flow.control_configs import WaitConfig
from ...schemas.payload import Payload
from ...schemas.ref import ValueElsewhere
from ...schemas.value_schema import UNREADABLE, misfits, one_line
from ...schemas.values import to_text

APPROVE = "out"
_PORTS = {
    "approve": APPROVE, "approved": APPROVE,
    "reject": "rejected", "rejected": "rejected",
    "escalate": "escalated", "escalated": "escalated",
}  # fmt: skip
_NAMES = {APPROVE: "approve", "rejected": "reject", "escalated": "escalate"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A decision, by the port that it leaves by. `by` and `reason` are what was said, whatever kind of value that is."""

    port: str
    response: Any = None
    reason: Any = None
    by: Any = None

    @property
    def decision(self) -> str:
        return _NAMES[self.port]


def answer_of(payload: Payload) -> Answer | None:
    """The answer in a payload; None if it is none."""
    value = decoded(payload)
    port = _PORTS.get(str(value.get("decision", "")).lower()) if isinstance(value, dict) else None
    if port is None:
        return None
    return Answer(port, value.get("response", value.get("response_data")), value.get("reason", value.get("details")), value.get("by"))


def of_timeout(action: str) -> Answer:
    """The answer that a timeout gives where nobody did."""
    return Answer(_PORTS[action], None, "timed out")


def misfit(config: WaitConfig, payload: Payload) -> str:
    """Why a payload cannot end this wait, the places and what is expected there; "" if it can."""
    schema = config.schema_
    if config.hook_id is None:
        return "" if schema is None else _misfit(schema, decoded(payload), "value")
    answer = answer_of(payload)
    if answer is None:
        return "an answer is a map whose `decision` is approve, reject or escalate"
    if schema is None or (answer.response is None and answer.port != APPROVE):
        return ""
    found = _misfit(schema, answer.response, "response")
    return f"it comes without a `response`, and one is wanted: {found}" if found and answer.response is None else found


def text_of(value: Any) -> str:
    """Who or why, as a text; "" for what has none here."""
    try:
        return to_text(value) or ""
    except ValueElsewhere:
        return ""


def decoded(payload: Payload) -> Any:
    """The value of a payload; None for bytes that are none."""
    try:
        return payloads.decode(payload)
    except UnreadablePayload:
        return None


def _misfit(schema: Any, value: Any, whole: str) -> str:
    try:
        found = misfits(schema, value, whole)
    except RecursionError:
        return "it is nested too deeply to be checked"
    except UNREADABLE as error:
        return f"it cannot be checked: {one_line(error)}"
    return found if not found or whole == "value" or found.startswith(f"{whole}: ") else f"in the response: {found}"
