"""The screen of `jetfleet up`: what runs where, which flows wait for events, and the commands that send the first one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ...broker.api import TriggerView
from ...broker.server.settings import PORT_DEFAULT, SYNC_ALWAYS
from ...broker.triggers.places import next_times, place
from ...broker.triggers.serving import FAILING
from ...schemas import subjects
from ...schemas.flow.triggers.webhook import WebhookParams
from ...schemas.messages import RUNNING
from ...schemas.plan.plan import Plan, PlanTrigger
from .fleet import NEED_A_PROCESS, LocalFleet

EXAMPLES_OF_TYPES: dict[str, Any] = {
    "string": "text", "integer": 1, "number": 1.0, "boolean": True, "array": [], "object": {}, "null": None,
}  # fmt: skip


Views = Mapping[tuple[str, str], TriggerView]


def screen(fleet: LocalFleet, triggers: Sequence[TriggerView], absent: Sequence[str]) -> str:
    """`absent`: flows that are deployed, and not in the folder."""
    views = {(view.flow, view.id): view for view in triggers}
    return "\n".join([*_processes(fleet), "", *_flows(fleet, views, absent), "", "Ctrl-C stops everything."])


def _processes(fleet: LocalFleet) -> Iterator[str]:
    server, settings = fleet.server, fleet.settings
    kept = f"data {server.data}" if settings.data is not None else "data goes with it"
    sync = "on disk before it is acknowledged" if server.settings.sync == SYNC_ALWAYS else f"sync {server.settings.sync}"
    width = max(len("server"), *(len(child.name) for child in fleet.children))
    yield f"{'server':<{width}}  pid {server.pid}  {server.url}  {kept}, {sync}"
    for child in fleet.children:
        yield f"{child.name:<{width}}  pid {child.pid}"


def _flows(fleet: LocalFleet, views: Views, absent: Sequence[str]) -> Iterator[str]:
    registry = fleet.client.flows
    plans = [plan for name in registry.names() if (plan := registry.current(name)) is not None]
    if not plans:
        yield "no flow is deployed; try: jetfleet deploy FILE"
        return
    width = max(len(f"{plan.name} {plan.version}") for plan in plans)
    yield "flows"
    for plan in plans:
        yield f"  {f'{plan.name} {plan.version}':<{width}}  {'  '.join(_subjects(plan))}"
        yield from (f"  {'':<{width}}  {line}" for line in _listening(plan, views))
    if absent:
        yield f"  from before, and not in the folder (or not valid there): {', '.join(absent)}"
        yield f"  they are still deployed; `jetfleet undeploy {' '.join(absent)}` changes that"
    yield ""
    yield "send the first event, and look at it"
    yield from (f"  {line}" for line in _first_steps(fleet, plans[0]))


def _subjects(plan: Plan) -> list[str]:
    triggers = [trigger.id for trigger in plan.triggers if trigger.enabled]
    return [subjects.event(plan.name, trigger) for trigger in triggers] or [subjects.event(plan.name)]


def _listening(plan: Plan, views: Views) -> Iterator[str]:
    """Where its triggers listen, of those that listen somewhere, and when they fire next; or why they do not."""
    for trigger in plan.triggers:
        view = views.get((plan.name, trigger.id))
        if not trigger.enabled or view is None:
            continue
        where = _where(view)
        if view.condition == FAILING:
            yield f"failing: {trigger.id} ({trigger.type}): {view.error}"
        elif where and view.state != RUNNING:
            yield f"{view.state}: {where} → {trigger.id}"
        elif where and trigger.type in NEED_A_PROCESS and not view.served:
            yield f"not served: {where} → {trigger.id}; start `jetfleet trigger serve`"
        elif where:
            yield f"{where} → {trigger.id}{_next(trigger)}{_open(view, where)}"


def _where(view: TriggerView) -> str:
    """Of a webhook where it really listens: the environment may have moved it."""
    real = next((each.detail for each in view.served.values() if each.detail), "") if view.type == "webhook" else ""
    return real or place(view.type, view.params)


def _open(view: TriggerView, where: str) -> str:
    """A mark for webhooks that other machines can call, and anybody on them."""
    if view.type != "webhook" or not any(f"http://{host}:" in where for host in ("0.0.0.0", "[::]")):
        return ""
    return "  (on every address, without auth)" if WebhookParams.model_validate(view.params or {}).open_to_all else ""


def _next(trigger: PlanTrigger) -> str:
    if trigger.type != "cron":
        return ""
    times = next_times(trigger.type, trigger.params, 1)
    return f", next {times[0].astimezone():%Y-%m-%d %H:%M:%S %Z}" if times else ", never again"


def _first_steps(fleet: LocalFleet, plan: Plan) -> Iterator[str]:
    url, here = fleet.server.url, fleet.server.url.endswith(f":{PORT_DEFAULT}")
    ours, theirs = ("", "") if here else (f" --nats {url}", f" -s {url}")
    trigger = f" --trigger {_subjects(plan)[0].rpartition('.')[2]}" if len(_subjects(plan)) > 1 else ""
    event = json.dumps(example(plan))
    yield f"jetfleet send {plan.name} '{event}' --wait{trigger}{ours}"
    yield f"nats pub {_subjects(plan)[0]} '{event}'{theirs}"
    yield f"jetfleet runs list{ours}"


def example(plan: Plan) -> Any:
    """An event that the flow's `inputs` let through, as far as its types say: required keys with a value of their type."""
    return _example(plan.inputs) if isinstance(plan.inputs, dict) else {}


def _example(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return None
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if schema.get("type") == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {name: _example(properties.get(name, {})) for name in schema.get("required", ())}
    kind = schema.get("type")
    if kind in ("integer", "number"):
        return schema.get("minimum", EXAMPLES_OF_TYPES[kind])
    return EXAMPLES_OF_TYPES.get(kind) if isinstance(kind, str) else None
