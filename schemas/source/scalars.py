"""What a YAML scalar means: the core schema of YAML 1.2, and nothing else.

So `on`, `no`, `12:30` and `1_000` are text, `010` is ten, `0o17` and `0x1f` are numbers. PyYAML's own resolver speaks
YAML 1.1, where all of these surprise. Only the core tags exist: none of them can build anything but plain data.
"""

from __future__ import annotations

import re

Scalar = str | int | float | bool | None

PREFIX = "tag:yaml.org,2002:"
SCALAR_TAGS = frozenset(PREFIX + name for name in ("str", "int", "float", "bool", "null"))
COLLECTION_TAGS = {"mapping": PREFIX + "map", "sequence": PREFIX + "seq"}

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
"""What a payload can carry as an integer."""

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def resolve(text: str) -> Scalar:
    """The value of an unquoted scalar. Raises ValueError for an integer beyond 64 bits."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if _INTEGER.fullmatch(text):
        return _integer(text)
    if _FLOAT.fullmatch(text):
        return _float(text)
    return text


def convert(text: str, tag: str) -> Scalar:
    """The value of a scalar with an explicit core tag. Raises ValueError if the text is no such value."""
    kind = tag.removeprefix(PREFIX)
    if kind == "str":
        return text
    value = resolve(text)
    if kind == "float" and type(value) is int:
        return float(value)
    if {"int": int, "float": float, "bool": bool, "null": type(None)}[kind] is not type(value):
        raise ValueError(f"`{text}` is not a value of the type !!{kind}")
    return value


def _integer(text: str) -> int:
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    digits = text[2:] if base != 10 else text
    # Bounded before the conversion: Python refuses (and would be slow at) numbers of thousands of digits.
    value = int(digits, base) if len(digits) <= 64 else INTEGER_MAX + 1
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise ValueError("an integer beyond 64 bits")
    return value


def _float(text: str) -> float:
    lowered = text.lower()
    return float(lowered.replace(".inf", "inf").replace(".nan", "nan"))
