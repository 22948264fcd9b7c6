"""Effects, printed: what the engine asks for, in one line each."""

from __future__ import annotations

from typing import Any

import msgspec

from ...schemas.effects import Effect
from ...schemas.plan.plan import Plan
from .journal_lines import field_value
from .printing import as_text, printable

VALUE_MAX = 80
_SHOWN_ELSEWHERE = frozenset(("run", "needs"))


def effect_value(effect: Effect, plan: Plan) -> dict[str, Any]:
    """Its kind, and its fields with activations by their keys and payloads decoded; what says nothing is left out."""
    fields = {name: field_value(name, getattr(effect, name), plan) for name in effect.__struct_fields__ if name not in _SHOWN_ELSEWHERE}
    if "kind" in fields:
        fields["waits_for"] = fields.pop("kind")  # of an Await: approval, signal or event. `kind` says which effect it is
    return {"kind": type(effect).__name__, **{name: value for name, value in fields.items() if value not in (None, "", 0, False, [])}}


def effect_line(effect: Effect, plan: Plan) -> str:
    """`Dispatch  activation=charge  attempt=1  input={"n":1}`."""
    kind, *said = effect_value(effect, plan).items()
    return "  ".join([str(kind[1]), *(f"{name}={_short(value)}" for name, value in said)])


def _short(value: Any) -> str:
    text = printable(value if isinstance(value, str) else as_text(msgspec.to_builtins(value, enc_hook=str)))
    return text if len(text) <= VALUE_MAX else text[: VALUE_MAX - 1] + "…"
