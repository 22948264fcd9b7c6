"""Events: which trigger one came by, and whether it fits the flow's `inputs`: a JSON Schema that the payload of every trigger must fit.

The schema itself is checked when the flow is compiled. A schema reads nothing from outside: a `$ref` leads into the schema or nowhere.

A value that lies elsewhere cannot be held against a schema by who has only the ref to it. It counts as valid, whatever the schema says.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import jsonschema_rs
import msgspec

from ..errors import EventRejected, SeveralTriggers, UsageError
from ..flow.problems import Problem
from ..ref import Coded, Ref
from .plan import Plan

_Place: TypeAlias = tuple[str | int, ...]

PROBLEMS_SHOWN = 5
MESSAGE_MAX = 400
_LOOKING_INSIDE = frozenset({"anyOf", "oneOf", "not", "if", "then", "else", "contains", "uniqueItems", "const", "enum"})
_HINTS = {
    "type": "the types are: string, number, integer, boolean, object, array, null",
    "required": "write a list: `required: [order_id]`",
}


def check_inputs(inputs: Any) -> list[Problem]:
    """What keeps a flow's `inputs` from being a JSON Schema; nothing if it has none."""
    if inputs is None:
        return []
    try:
        _validator(_key(inputs))
    except jsonschema_rs.ValidationError as error:
        path = tuple(error.instance_path)
        hint = _HINTS.get(str(path[-1]), "") if path else 'references lead into the schema itself: `$ref: "#/$defs/name"`'
        return [Problem("INVALID_VALUE", f"`inputs` is no JSON Schema: {_one_line(error.message)}", ("inputs", *path), hint)]
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        return [Problem("INVALID_VALUE", f"`inputs` is no JSON Schema: {_one_line(error)}", ("inputs",))]
    return []


def check_event(plan: Plan, value: Any) -> None:
    """Raises EventRejected with what is wrong and where, if the flow has `inputs` and the value does not fit them."""
    if plan.inputs is None:
        return
    elsewhere: list[_Place] = []
    try:
        inline = _inline(value, (), elsewhere)
        errors = [error for error in _validator(_key(plan.inputs)).iter_errors(inline) if not _is_of(error, elsewhere)]
    except RecursionError:
        raise EventRejected(f"the event is nested too deeply to be checked against the inputs of flow {plan.name!r}") from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        # A value that is no JSON, or a schema that came past the compiler: either way nothing can be said for the event.
        raise EventRejected(f"the event cannot be checked against the inputs of flow {plan.name!r}: {_one_line(error)}") from None
    if errors:
        found = [f"{'.'.join(map(str, error.instance_path)) or 'event'}: {_shortened(error.message)}" for error in errors[:PROBLEMS_SHOWN]]
        more = f" (and {len(errors) - PROBLEMS_SHOWN} more)" if len(errors) > PROBLEMS_SHOWN else ""
        raise EventRejected(f"the event does not fit the inputs of flow {plan.name!r}: {'; '.join(found)}{more}")


def _inline(value: Any, place: _Place, elsewhere: list[_Place]) -> Any:
    """The value with null for refs and coded values, whose places are noted; a value without them is itself."""
    if type(value) is Ref or type(value) is Coded:
        elsewhere.append(place)
        return None
    if type(value) is dict:
        items = {key: _inline(item, (*place, key), elsewhere) for key, item in value.items()}
        return items if elsewhere else value
    if type(value) is list:
        parts = [_inline(item, (*place, index), elsewhere) for index, item in enumerate(value)]
        return parts if elsewhere else value
    return value


def _is_of(error: Any, elsewhere: list[_Place]) -> bool:
    """Whether the error speaks of a value that lies elsewhere: at its place, or around it by a rule that looks at all that is inside."""
    place = tuple(error.instance_path)
    looks_inside = not _LOOKING_INSIDE.isdisjoint(error.schema_path)
    return any(place[: len(ref)] == ref or (looks_inside and ref[: len(place)] == place) for ref in elsewhere)


def choose_trigger(plan: Plan, trigger: str | None, disabled: Collection[str] = ()) -> str | None:
    """The trigger that a run counts as started by. `disabled`: those that somebody has switched off since they were deployed.

    Raises UsageError if it is not clear which one, there is no such trigger, or it is disabled.
    """
    enabled = [each.id for each in plan.triggers if each.enabled]
    running = [id for id in enabled if id not in disabled]
    if trigger is not None:
        if plan.trigger(trigger) is None:
            raise UsageError(f"flow {plan.name!r} has no trigger {trigger!r}; it has: {', '.join(t.id for t in plan.triggers) or 'none'}")
        if trigger not in running:
            raise UsageError(f"trigger {trigger!r} of flow {plan.name!r} is disabled{_enabling(plan, trigger, enabled)}: it never fires")
        return trigger
    if enabled and not running:
        todo = f"`jetfleet trigger enable {plan.name}` ends that"
        raise UsageError(f"all triggers of flow {plan.name!r} are disabled: {', '.join(enabled)}; {todo}")
    if len(running) > 1:
        raise SeveralTriggers(plan.name, running)
    return running[0] if running else None


def _enabling(plan: Plan, trigger: str, enabled: Collection[str]) -> str:
    """How a trigger is switched on that somebody has switched off."""
    return f" (`jetfleet trigger enable {plan.name} {trigger}` ends that)" if trigger in enabled else ""


def _key(inputs: Any) -> bytes:
    return msgspec.json.encode(inputs)


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return jsonschema_rs.validator_for(msgspec.json.decode(schema), retriever=_nothing_outside)


def _nothing_outside(uri: str) -> NoReturn:
    raise ValueError("a schema reads nothing from outside")


def _shortened(message: str) -> str:
    """A message quotes what it refuses, however large that is."""
    return message if len(message) <= MESSAGE_MAX else f"{message[: MESSAGE_MAX // 2]} … {message[-MESSAGE_MAX // 2 :]}"


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
