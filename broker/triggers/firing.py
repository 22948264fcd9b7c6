"""A firing: one thing that happened at a source, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...schemas.errors import JetfleetError, UsageError


@dataclass(slots=True, eq=False)
class Firing:
    """`key`: the same happening has the same key, however often it is seen, in whatever process; no other one of the trigger has it.

    `payload` is any value that a payload may be, `meta` what nodes read as `${trigger.meta}`. `token`: the source's own, by which it
    knows what `confirm` speaks of. `trace`: a W3C traceparent, or "". `error`: the source cannot make a payload of what came; then
    `payload` is what came, as bytes, or what can be said of it, as a value, and every flow refuses it for this reason. `only`: the triggers
    that it is for, as (flow, trigger id), where the source knows better than by its params; None: all that listen.
    """

    key: str
    payload: Any = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    token: Any = None
    trace: str = ""
    error: JetfleetError | None = None
    only: Sequence[tuple[str, str]] | None = None


@dataclass(slots=True)
class Fate:
    """What became of a firing, by flow: the id of the run that its stored event starts, or why the flow gets no event of it.

    A flow that is `refused` for good has the firing among the dead letters, if the source is one that buries. Both empty: nobody listens
    to the source any more.
    """

    runs: dict[str, str] = field(default_factory=dict)
    refused: dict[str, JetfleetError] = field(default_factory=dict)

    def run(self, flow: str) -> str:
        """The run of this flow. Raises why the flow refused it, UsageError if no trigger of the flow listens any more."""
        if flow in self.refused:
            raise self.refused[flow]
        if flow not in self.runs:
            raise UsageError(f"no trigger of flow {flow!r} got this firing: it was undeployed or disabled meanwhile")
        return self.runs[flow]
