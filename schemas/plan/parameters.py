"""The declared parameters of a manual trigger: what a call by hand may and must bring.

A call brings a map. What it leaves out gets its default, what is of another type or missing is refused; what is not declared is refused
too, since it is most likely a misspelt parameter. A trigger that declares nothing takes anything.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import EventRejected
from ..flow.triggers.manual import fits
from .plan import Plan


def with_defaults(plan: Plan, trigger: str | None, value: Any) -> Any:
    """The payload of an event as the run gets it. Raises EventRejected with all that is wrong.

    Only a manual trigger that declares parameters changes anything.
    """
    declared = parameters(plan, trigger)
    if not declared:
        return value
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise EventRejected(f"trigger {trigger!r} of flow {plan.name!r} takes parameters: a map, not {_named(value)}")
    found = [problem for each in declared if (problem := _problem(each, value))]
    found += [_unknown(name, declared) for name in value if name not in {each["name"] for each in declared}]
    if found:
        raise EventRejected(f"the parameters do not fit trigger {trigger!r} of flow {plan.name!r}: {'; '.join(found)}")
    return {each["name"]: each["default"] for each in declared if each.get("default") is not None} | value


def parameters(plan: Plan, trigger: str | None) -> Sequence[Mapping[str, Any]]:
    """The parameters that the trigger declares: maps with name, type, required, default, description."""
    found = None if trigger is None else plan.trigger(trigger)
    if found is None or found.type != "manual" or not isinstance(found.params, Mapping):
        return ()
    declared: Sequence[Mapping[str, Any]] = found.params.get("parameters") or ()
    return declared


def _problem(parameter: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    name, type_ = parameter["name"], parameter.get("type", "string")
    if name not in value:
        missing = parameter.get("required", False) and parameter.get("default") is None
        return f"{name!r} is missing" if missing else ""
    return "" if fits(value[name], type_) else f"{name!r} is {_named(value[name])}, and a parameter of type {type_}"


def _unknown(name: str, declared: Sequence[Mapping[str, Any]]) -> str:
    near = difflib.get_close_matches(str(name), [each["name"] for each in declared], n=1)
    return f"there is no parameter {name!r}" + (f" (did you mean {near[0]!r}?)" if near else "")


def _named(value: Any) -> str:
    names = {str: "a text", bool: "true or false", int: "a whole number", float: "a number", dict: "a map", list: "a list"}
    return "null" if value is None else names.get(type(value), type(value).__name__)
