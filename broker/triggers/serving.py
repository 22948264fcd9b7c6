"""Serving: how a process serves a trigger, and how it says so to the fleet.

What the processes that serve triggers say of them travels in the facts of their Member, so it is kept short: of many triggers the
failing ones come first, and the number of those left out is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

TOLD_MAX = 200
TEXT_MAX = 400
"""Of a longer text the beginning and the end are told: what happened stands first, what to do about it last."""
SERVED, UNTOLD, TYPES, ONLY = "triggers", "triggers_untold", "trigger_types", "trigger_flows"
"""Keys of the facts: the triggers, how many are not among them, the types that the process serves, its flows, none for all."""
FAILING = "failing"


@dataclass(frozen=True, slots=True)
class Serving:
    """How a trigger is served in a process since that began. `last_at`: when it fired last, ms since the epoch, 0 for never.

    `state`: starting, listening, paused or failing. `detail`: what it listens to, as its source says. `error`: why it fails, or did last.
    """

    flow: str
    trigger: str
    type: str
    state: str
    fired: int = 0
    refused: int = 0
    in_flight: int = 0
    restarts: int = 0
    last_at: int = 0
    detail: str = ""
    error: str = ""

    def fact(self) -> list[Any]:
        """As it stands in the process's Member."""
        values = [getattr(self, name) for name in _NAMES]
        return [_shortened(value) if isinstance(value, str) else value for value in values]


def _shortened(text: str) -> str:
    half = (TEXT_MAX - 3) // 2
    return text if len(text) <= TEXT_MAX else f"{text[:half]} … {text[-half:]}"


_NAMES = tuple(field.name for field in fields(Serving))
_KINDS = {field.name: str if field.type == "str" else int for field in fields(Serving)}


def told(served: Iterable[Serving], types: Iterable[str], only: Iterable[str] = ()) -> dict[str, Any]:
    """The facts of a process that serves these. `only`: the flows that it keeps to; none: all."""
    ordered = sorted(served, key=lambda each: each.state != FAILING)
    untold = max(0, len(ordered) - TOLD_MAX)
    return {TYPES: list(types), ONLY: list(only), SERVED: [each.fact() for each in ordered[:TOLD_MAX]], UNTOLD: untold}


def heard(facts: Mapping[str, Any]) -> list[Serving]:
    """The triggers in the facts of a member, which may be of another version: what is not of this form is left out."""
    found = []
    for fact in facts.get(SERVED) or ():
        if not isinstance(fact, list | tuple) or len(fact) < 4:
            continue
        said = dict(zip(_NAMES, fact, strict=False))
        if all(isinstance(value, _KINDS[name]) for name, value in said.items()):
            found.append(Serving(**said))
    return found


def serves(facts: Mapping[str, Any], flow: str, type: str) -> bool:
    """Whether the member is one that serves triggers of this type in this flow, told or not."""
    return type in (facts.get(TYPES) or ()) and flow in (facts.get(ONLY) or (flow,))
