"""Reach: what stands at a path in a value as a node has it, and the items of a list: also inside of an array, a table or a frame.

The same as the codec's `pick` finds in the bytes, so that a condition holds or not wherever it is decided, and a field is found or not
however large it is. Reads nothing beyond the path for arrays and tables; a frame's columns are written once.
"""

from __future__ import annotations

from typing import Any

from ...schemas.ref import Coded, Ref
from ...schemas.values import MISSING, Path, get
from .registry import codec_for

_PLAIN = (dict, list, tuple, str, bytes, bool, int, float, type(None), Ref, Coded)


def reach(value: Any, path: Path) -> Any:
    """As `values.get`. Raises UnencodableValue for a frame of what no codec can write, UnknownCodec."""
    found = get(value, path)
    return _reach(value, path) if found is MISSING else found


def items(value: Any) -> list[Any]:
    """The items of a list, array, column or series, the rows of a table or frame as maps; none of anything else. Raises UnknownCodec."""
    if isinstance(value, _PLAIN):
        return value if isinstance(value, list) else []
    codec = None if value is MISSING else codec_for(value)
    listed = getattr(codec, "items_of", None)
    return [] if listed is None else listed(value)


def _reach(value: Any, path: Path) -> Any:
    for index, step in enumerate(path):
        if not isinstance(value, _PLAIN):
            return _inside(value, path[index:])
        value = get(value, (step,))
    return value


def _inside(value: Any, path: Path) -> Any:
    codec = None if value is MISSING else codec_for(value)
    if codec is None:
        return MISSING
    inside = getattr(codec, "inside", None)
    if inside is not None:
        return inside(value, path)
    encoded = codec.encode(value)
    body = memoryview(encoded.parts[0]) if len(encoded.parts) == 1 else memoryview(encoded.body())
    return codec.pick(body, encoded.meta, path)
