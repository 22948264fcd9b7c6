"""Claims: which trigger each path of an address belongs to, as the deployed flows say it.

Triggers are looked at in the order of flow and id; one whose path and method an earlier one has, with other params, gets nothing. So whose
a path is follows from what is deployed alone: not from who came first, nor from who is paused, disabled or fails at the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from ...broker.flows import Flows
from ...broker.triggers.source import Site
from ...schemas.flow.trigger_types import TRIGGER_TYPES, parse_params
from ...schemas.flow.triggers.webhook import WebhookParams
from ...schemas.messages import DISABLED
from .replies import Refusal
from .routes import PathTaken, Routes

Mine = Callable[[WebhookParams], bool]


@dataclass(frozen=True, slots=True)
class Claim:
    """What triggers with the same params have in common. `name`: of the first."""

    name: str
    params: WebhookParams
    triggers: list[tuple[str, str]]


class Claims:
    """`mine`: whether params are about this address. Follows what is deployed until it is closed."""

    def __init__(self, site: Site, mine: Mine) -> None:
        self._flows, self._only, self._mine = site.client.flows, site.only, mine
        self._routes: Routes | None = None
        self._losers: dict[str, PathTaken] = {}
        self._flows.on_change.append(self._flow_changed)

    def close(self) -> None:
        if self._flow_changed in self._flows.on_change:
            self._flows.on_change.remove(self._flow_changed)

    def require(self, params: WebhookParams) -> None:
        """Raises PathTaken if the path belongs to other params."""
        self._settled()
        error = self._losers.get(params.model_dump_json())
        if error is not None:
            raise PathTaken(str(error))

    def wanted(self, path: bytes, method: str) -> bool:
        """Whether a trigger that nobody has disabled should answer there."""
        try:
            claim, _, _ = self._settled().find(path, method)
        except Refusal:
            return False
        return claim is not None and any(self._flows.trigger_state(flow, id).state != DISABLED for flow, id in claim.triggers)

    def _flow_changed(self, flow: str) -> None:
        self._routes = None

    def _settled(self) -> Routes:
        if self._routes is None:
            self._routes, self._losers = Routes(), {}
            for same, claim in self._all().items():
                try:
                    self._routes.add(claim.params.path, claim.params.methods, claim, claim.name)
                except PathTaken as error:
                    self._losers[same] = error
        return self._routes

    def _all(self) -> dict[str, Claim]:
        """By what is the same for all triggers of a claim."""
        found: dict[str, Claim] = {}
        for flow, id, params in _webhooks(self._flows, self._only):
            if self._mine(params):
                found.setdefault(params.model_dump_json(), Claim(f"{flow}.{id}", params, [])).triggers.append((flow, id))
        return found


def _webhooks(flows: Flows, only: tuple[str, ...]) -> Iterator[tuple[str, str, WebhookParams]]:
    """By flow and id; those that their definitions switch off do not count."""
    for flow in flows.names():
        plan = flows.current(flow) if not only or flow in only else None
        for trigger in sorted(() if plan is None else plan.triggers, key=lambda each: each.id):
            if not trigger.enabled or trigger.type != "webhook":
                continue
            try:
                params = parse_params(TRIGGER_TYPES[trigger.type], trigger.params)
            except ValidationError:  # deployed by another version, which took them: nobody serves it here
                continue
            assert isinstance(params, WebhookParams)
            yield flow, trigger.id, params
