"""Collecting: how events of a flow become one run together, as `settings.debounce` or `settings.batch` say.

The key is a template over what is known when an event comes: `trigger`, the triggers by their names, `pipeline.config`. There is no
run yet.
"""

from __future__ import annotations

from .. import payload as payloads
from ..errors import EventRejected
from ..flow.definition import Debounce, duration_ms
from ..flow.problems import Path
from ..payload import NULL, Payload
from ..records import RunStarted
from ..ref import Coded, Ref
from ..values import to_text
from .binding import lookup
from .draft import Draft
from .needs import Needs
from .plan import BATCH, DEBOUNCE, ROOT, Binding, Need, Plan, PlanCollecting, Source

KEY_MAX = 1_024
"""Characters of a key."""


def collecting(draft: Draft, needs: Needs) -> PlanCollecting | None:
    """What the flow's settings say about it; what is wrong with them is reported. None: each event is a run."""
    debounce, batch = draft.flow.settings.debounce, draft.flow.settings.batch
    if debounce is not None or batch is not None:
        _warn_of_waiting_callers(draft)
    if debounce is not None and batch is not None:
        message = "a flow can have `debounce` or `batch`, not both"
        draft.report("INVALID_VALUE", message, ("settings", "batch"), "the last event counts with `debounce`, all of them with `batch`")
    elif debounce is not None:
        return _debounce(debounce, draft, needs)
    elif batch is not None:
        key = _key(batch.key, ("settings", "batch", "key"), draft, needs)
        return PlanCollecting(BATCH, duration_ms(batch.within), most=batch.max, key=key)
    return None


def _warn_of_waiting_callers(draft: Draft) -> None:
    """A caller of a webhook waits for the run of its own request, which is mostly none."""
    for number, trigger in enumerate(draft.flow.triggers):
        params = trigger.params if isinstance(trigger.params, dict) else {}
        if trigger.type.removeprefix("trigger::") == "webhook" and params.get("wait"):
            message = f"trigger {trigger.id!r} lets its callers wait for a run, but the flow gathers events before one begins"
            hint = "leave `wait` out: callers are answered when their event is on disk"
            draft.report("INVALID_VALUE", message, ("triggers", number, "params", "wait"), hint, warning=True)


def _debounce(settings: Debounce, draft: Draft, needs: Needs) -> PlanCollecting:
    quiet_ms = duration_ms(settings.quiet)
    longest_ms = 0 if settings.max_wait is None else duration_ms(settings.max_wait)
    if settings.max_wait is not None and longest_ms < quiet_ms:
        message = f"`max_wait` ({settings.max_wait}) is shorter than `quiet` ({settings.quiet}), which then never matters"
        draft.report("INVALID_VALUE", message, ("settings", "debounce", "max_wait"), "make it longer, or leave it out")
    return PlanCollecting(DEBOUNCE, quiet_ms, longest_ms, key=_key(settings.key, ("settings", "debounce", "key"), draft, needs))


def _key(template: str | None, path: Path, draft: Draft, needs: Needs) -> Binding | None:
    if template is None:
        return None
    bound = needs.bind(template, path, ROOT)
    if bound is None:
        return None
    later = [need for need in bound.needs if need.source not in (Source.TRIGGER, Source.EVENT)]
    if later or any(selector.root == "trace_id" for selector in bound.template.selectors):
        message = f"{template!r} reads what is not known when an event comes: there is no run yet"
        draft.report("INVALID_SELECTOR", message, path, "read the event: ${trigger.payload.…}, ${trigger.meta.…}; or ${pipeline.config.…}")
    return bound


def key_of(plan: Plan, start: RunStarted) -> str:
    """The key of the event that would start this run. Null and what is missing count as "".

    Raises EventRejected if it lies elsewhere, is too long, or no text can be made of it.
    """
    binding = None if plan.collecting is None else plan.collecting.key
    if binding is None:
        return ""
    needs = [_needed(plan, start, need) for need in binding.needs]
    value = binding.template.render(lookup(plan, binding.roots, needs, start.run, ()))
    whose = f"the key by which events of flow {plan.name!r} are collected"
    if type(value) in (Ref, Coded):
        raise EventRejected(f"{whose} lies elsewhere: send it as a small field of its own")
    key = to_text(value) or ""
    if len(key) > KEY_MAX:
        raise EventRejected(f"{whose} has {len(key):,} characters, more than {KEY_MAX:,}")
    return key


def _needed(plan: Plan, start: RunStarted, need: Need) -> Payload:
    if need.source == Source.EVENT:
        return start.payload if start.trigger == need.name else NULL
    trigger = None if start.trigger is None else plan.trigger(start.trigger)
    head = [("id", payloads.encode(start.trigger)), ("type", payloads.encode(None if trigger is None else trigger.type))]
    return payloads.pack_map([*head, ("payload", start.payload), ("meta", start.meta)])
