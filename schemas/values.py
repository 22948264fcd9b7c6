"""The rules by which values are reached, changed and compared: one set for conditions, selectors and data nodes.

    reach      get, set_path, delete_path: along a path of keys and list indices
    convert    to_text, to_number, to_bool: each gives None for what it has no form for
    compare    equal: as text, so 5 and "5" are equal and 5 and 5.0 are not
    combine    deep_merge: maps key by key

Nothing here changes a value that it was given: what differs is copied, what does not is shared.

A value that lies elsewhere (a `Ref`) can be reached and handed on. Whatever would have to look into it raises ValueElsewhere: nobody
who holds only the ref can say whether it equals 5, and a guess would be a wrong answer. The same goes for what is inside a `Coded` value.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from enum import Enum
from typing import Any, Final, TypeAlias

import msgspec

from .errors import SelectorError
from .ref import Coded, Ref, ValueElsewhere

Path: TypeAlias = tuple[str | int, ...]
"""Keys (str) and list indices (int) from the outside in; the empty path is the value itself."""


class Missing(Enum):
    """The type of MISSING, so that a checker can tell it from values."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING
"""What stands at a path that leads nowhere. Not null: a null is a value that somebody wrote."""

_TRUE = frozenset({"true", "1", "yes"})
_FALSE = frozenset({"false", "0", "no"})
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_NUMBER_LENGTH_MAX = 300
"""Longer texts are no numbers: no float needs more, and reading an integer costs the square of its length."""


def _no_text(value: Any) -> Any:
    """A ref inside a map or list: its text would have to hold the value's. Anything else that the encoder does not know has no text."""
    _must_be_here(value)
    raise NotImplementedError


def _must_be_here(value: Any) -> None:
    """Raises ValueElsewhere for a ref, and for a path into a coded value. A whole coded value is here: it is no text and no number."""
    if type(value) is Ref or (type(value) is Coded and value.path):
        raise ValueElsewhere(value)


_json = msgspec.json.Encoder(decimal_format="string", enc_hook=_no_text)


def get(value: Any, path: Path) -> Any:
    """What stands at the path, or MISSING. Inside a ref or a coded value: that with the rest of the path, which may lead nowhere."""
    for index, step in enumerate(path):
        if type(value) in (Ref, Coded):
            return value.at(path[index:])
        if type(step) is str:
            if not isinstance(value, dict) or step not in value:
                return MISSING
        elif not isinstance(value, (list, tuple)) or step >= len(value):  # type: ignore[operator]
            return MISSING
        value = value[step]
    return value


def set_path(value: Any, path: Path, new: Any) -> Any:
    """The value with `new` at the path. Maps and lists that are missing on the way are made, other values there replaced.

    Raises SelectorError for an index beyond the end of a list (the end itself appends), ValueElsewhere where the path leads into a ref.
    """
    if not path:
        return new
    if type(value) in (Ref, Coded):
        raise ValueElsewhere(value)
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        changed = dict(value) if isinstance(value, dict) else {}
        changed[step] = set_path(changed.get(step), rest, new)
        return changed
    items = list(value) if isinstance(value, (list, tuple)) else []
    if step > len(items):
        raise SelectorError(f"[{step}] is beyond the end of a list of {len(items)} items", "append at the end, or set the whole list")
    if step == len(items):
        items.append(None)
    items[step] = set_path(items[step], rest, new)
    return items


def delete_path(value: Any, path: Path) -> Any:
    """The value without what stands at the path; the value itself if nothing stands there. The empty path leaves null.

    Raises ValueElsewhere where the path leads into a ref.
    """
    if not path:
        return None
    if type(value) in (Ref, Coded):
        raise ValueElsewhere(value)
    if get(value, path) is MISSING:
        return value
    step, rest = path[0], path[1:]
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        changed[step] = delete_path(changed[step], rest)
    else:
        del changed[step]
    return changed


def to_text(value: Any) -> str | None:
    """The value as text: maps and lists as compact JSON. None for null, missing, and numbers that are not finite.

    Raises ValueElsewhere for a ref, also one inside a map or list.
    """
    if isinstance(value, str):
        return value
    if value is None or value is MISSING or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if type(value) is int:
        return str(value)
    try:
        text = _json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError, NotImplementedError):  # an image, a map with odd keys: it has no text
        return None
    return text[1:-1] if text.startswith('"') else text  # bytes and datetimes have a JSON form that is a string


def to_number(value: Any) -> int | float | None:
    """A number, or the number that a text spells (`12`, `-1.5e3`; no blanks, no separators). None for all else, also booleans.

    Raises ValueElsewhere for a ref.
    """
    if isinstance(value, (int, float)):
        return None if isinstance(value, bool) else value
    if not isinstance(value, str) or len(value) > _NUMBER_LENGTH_MAX:
        _must_be_here(value)
        return None
    if _INTEGER.fullmatch(value):
        return int(value)
    return float(value) if _NUMBER.fullmatch(value) else None


def to_bool(value: Any) -> bool | None:
    """Booleans; true/1/yes and false/0/no in any case; numbers (not 0); null is false. None for all else.

    Raises ValueElsewhere for a ref.
    """
    if value is None:
        return False
    if isinstance(value, (bool, int, float)):
        return bool(value)
    if isinstance(value, str):
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    _must_be_here(value)
    return None


def equal(a: Any, b: Any) -> bool:
    """Whether the two read the same as text. Null equals only null; MISSING equals nothing, not even itself.

    Raises ValueElsewhere if either is a ref or holds one.
    """
    if a is MISSING or b is MISSING:
        return False
    return to_text(a) == to_text(b)


def deep_merge(values: Iterable[Any]) -> Any:
    """The values as one: maps key by key, and what is no map gives way to what comes later. Null without any.

    Raises ValueElsewhere where a ref meets a map or another ref, for whether it is a map itself nobody here can say.
    """
    merged: Any = None
    for number, value in enumerate(values):
        merged = _merged(merged, value) if number else value
    return merged


def _merged(base: Any, over: Any) -> Any:
    if type(over) is Ref and isinstance(base, (dict, Ref)):
        raise ValueElsewhere(over)
    if type(base) is Ref and isinstance(over, dict):
        raise ValueElsewhere(base)
    if not isinstance(base, dict) or not isinstance(over, dict):
        return over
    return {**base, **{key: _merged(base[key], value) if key in base else value for key, value in over.items()}}
