"""Reach: what stands at a path in a value as a node has it: also inside of an array, a table or a frame.

The same as the codec's `pick` finds in the bytes, so that a condition holds or not wherever it is decided. Reads nothing beyond the
path for arrays; of a table the columns' buffers are written once.
"""

from __future__ import annotations

from typing import Any

from ...schemas.ref import Coded, Ref
from ...schemas.values import MISSING, Path, get
from .registry import codec_for

_PLAIN = (dict, list, tuple, str, bytes, bool, int, float, type(None), Ref, Coded)


def reach(value: Any, path: Path) -> Any:
    """As `values.get`. Raises UnencodableValue for an array or table of what no codec can write, UnknownCodec."""
    for index, step in enumerate(path):
        if not isinstance(value, _PLAIN):
            return _inside(value, path[index:])
        value = get(value, (step,))
    return value


def _inside(value: Any, path: Path) -> Any:
    codec = None if value is MISSING else codec_for(value)
    if codec is None:
        return MISSING
    encoded = codec.encode(value)
    body = memoryview(encoded.parts[0]) if len(encoded.parts) == 1 else memoryview(encoded.body())
    return codec.pick(body, encoded.meta, path)
