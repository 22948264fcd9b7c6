"""Value schemas: JSON Schemas that values are held against, those of a flow's `inputs` and of what a wait is answered with.

A schema is checked once, when the flow is compiled. It reads nothing from outside: a `$ref` leads into the schema or nowhere.

A value that lies elsewhere cannot be held against a schema by who has only the ref to it. It counts as valid, whatever the schema says.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import jsonschema_rs
import msgspec

from .ref import Coded, Ref

_Place: TypeAlias = tuple[str | int, ...]

PROBLEMS_SHOWN = 5
MESSAGE_MAX = 400
_LOOKING_INSIDE = frozenset({"anyOf", "oneOf", "not", "if", "then", "else", "contains", "uniqueItems", "const", "enum"})
_HINTS = {
    "type": "the types are: string, number, integer, boolean, object, array, null",
    "required": "write a list: `required: [order_id]`",
}
UNREADABLE = (ValueError, jsonschema_rs.ReferencingError)
"""What `misfits` raises where nothing can be said for a value: it is no JSON, or the schema came past the compiler."""


def flaw(schema: Any) -> tuple[str, _Place, str] | None:
    """What keeps a value from being a JSON Schema: what is wrong, where in it, and a hint. None if it is one."""
    try:
        _validator(_key(schema))
    except jsonschema_rs.ValidationError as error:
        path = tuple(error.instance_path)
        hint = _HINTS.get(str(path[-1]), "") if path else 'references lead into the schema itself: `$ref: "#/$defs/name"`'
        return one_line(error.message), path, hint
    except UNREADABLE as error:
        return one_line(error), (), ""
    return None


def misfits(schema: Any, value: Any, whole: str) -> str:
    """How a value does not fit: the places and what is expected there, a few of them; "" if it fits. `whole` is what the value is called.

    Raises RecursionError for a value that is nested too deeply, and those of UNREADABLE.
    """
    elsewhere: list[_Place] = []
    inline = _inline(value, (), elsewhere)
    errors = [error for error in _validator(_key(schema)).iter_errors(inline) if not _is_of(error, elsewhere)]
    found = [f"{'.'.join(map(str, error.instance_path)) or whole}: {_shortened(error.message)}" for error in errors[:PROBLEMS_SHOWN]]
    more = f" (and {len(errors) - PROBLEMS_SHOWN} more)" if len(errors) > PROBLEMS_SHOWN else ""
    return "; ".join(found) + more


def one_line(error: object) -> str:
    """An error's text, in one line."""
    return " ".join(str(error).split())


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
