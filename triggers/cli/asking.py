"""Asking: the declared parameters of a manual trigger, from texts such as `--param n=3`, or from a person who is asked for them.

Only texts are turned into values here. Whether all are there and fit is checked where the event is made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from ...broker.cli.event_input import parse_json
from ...schemas.errors import UsageError
from ...schemas.flow.triggers.manual import fits

Declared = Sequence[Mapping[str, Any]]
YES, NO = frozenset(("true", "yes", "on", "1")), frozenset(("false", "no", "off", "0"))


def assigned(texts: Sequence[str], declared: Declared) -> dict[str, Any]:
    """The values of `name=text`s, each by the type that its parameter declares; of others JSON, or the text. Raises UsageError."""
    types = {each["name"]: each.get("type", "string") for each in declared}
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, said = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--param {text!r} is no name=value")
        if name in values:
            raise UsageError(f"--param says {name!r} twice")
        try:
            values[name] = from_text(said, types.get(name, "any"))
        except ValueError as error:
            raise UsageError(f"--param {text}: {name!r} is of type {types[name]}, and {error}") from None
    return values


def from_text(text: str, type_: str) -> Any:
    """A text as a value of a parameter's type. Raises ValueError with what is wrong."""
    read = _READERS.get(type_)
    return text if read is None else read(text)


def asked(declared: Declared, given: Mapping[str, Any], ask: Callable[..., Any] = click.prompt) -> dict[str, Any]:
    """What a person says when asked for the parameters that are not given: for those that are needed, and for all if none is given."""
    missing = [each for each in declared if each["name"] not in given and (not given or _needed(each))]
    answers = {each["name"]: _answer(each, ask) for each in missing}
    return {name: value for name, value in answers.items() if value is not None}


def _needed(parameter: Mapping[str, Any]) -> bool:
    return bool(parameter.get("required")) and parameter.get("default") is None


def _answer(parameter: Mapping[str, Any], ask: Callable[..., Any]) -> Any:
    """None: nothing was said, so that the default holds."""
    type_ = parameter.get("type", "string")
    about = f" ({parameter['description']})" if parameter.get("description") else ""
    hint = f" [{parameter['default']}]" if parameter.get("default") is not None else "" if _needed(parameter) else " [none]"

    def value(text: str) -> Any:
        if not text:
            return None
        try:
            return from_text(text, type_)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None

    label = f"{parameter['name']}{about}: {type_}{hint}"
    return ask(label, err=True, value_proc=value, **({} if _needed(parameter) else {"default": "", "show_default": False}))


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is no whole number") from None


def _number(text: str) -> int | float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is no number")
    return int(text) if text.strip().lstrip("+-").isdecimal() else value


def _boolean(text: str) -> bool:
    if text.lower() in YES | NO:
        return text.lower() in YES
    raise ValueError(f"{text!r} is neither true nor false")


def _json(kind: str) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            value = parse_json(text, "the value")
        except UsageError as error:
            raise ValueError(str(error)) from None
        if not fits(value, kind):
            raise ValueError(f"{text!r} is no {kind} in JSON")
        return value

    return read


def _any(text: str) -> Any:
    try:
        return parse_json(text, "the value")
    except UsageError:
        return text


_READERS: Mapping[str, Callable[[str], Any]] = {
    "integer": _integer, "number": _number, "boolean": _boolean, "object": _json("object"), "array": _json("array"), "any": _any,
}  # fmt: skip
