"""Values as they are shown: what JSON has no form for is described, in one way for programs and in one for people.

                            programs (-o json)                                                  people
    a ref                   {"$ref": "ref:…", "codec": "numpy", "bytes": 24000, "count": 1000}  ‹numpy float64[1000,3], 23.4 KiB, ref:…›
    a coded value           {"$coded": "numpy", "bytes": 24, "what": "float64[3]"}              ‹numpy float64[3], 24 bytes›
    an array, table, image  the same as a coded value                                           the same
    bytes                   base64                                                              base64

Guarantees: never fails, and reads no value that lies elsewhere.
Does not: show what is in such values, which is `jetfleet payload`'s matter.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

from ...schemas.errors import JetfleetError
from ...schemas.ref import Coded, Ref
from ...schemas.sizes import size_text
from ..codecs.registry import codec_name, nbytes

Describe: TypeAlias = Callable[["Description"], Any]
_IN_JSON = frozenset(("", "msgpack", "text", "bytes"))
"""Codecs of what the JSON encoder writes by itself; the first one is none."""
_PLAIN = (str, int, float, bool, type(None), bytes)
_DTYPES = {"f": "float", "i": "int", "u": "uint", "c": "complex"}
_TOO_DEEP = "‹nested too deeply to be shown›"


class Description(NamedTuple):
    """What a value is, for whoever does not get it. `what`: dtype and shape, rows, mode and size, as far as that is known unread."""

    codec: str
    bytes: int | None
    what: str = ""
    ref: Ref | None = None


def for_programs(value: Any) -> Any:
    """The value as JSON can hold it."""
    return _walked(value, _as_data)


def for_people(value: Any) -> Any:
    """The same with texts such as `‹numpy float64[1000,3], 23.4 KiB, ref:…›` in the places of what is described."""
    return _walked(value, _as_text)


def is_described(value: Any) -> bool:
    """Whether the value itself is shown by what it is: a ref, a coded value, an array, a table, an image, a file."""
    return isinstance(value, Ref | Coded) or (not isinstance(value, _PLAIN) and codec_name(type(value)) not in _IN_JSON)


def description_of(value: Any) -> Description:
    """Of a value that `is_described`."""
    if isinstance(value, Ref):
        return Description(value.codec, value.length, "" if value.path else _noted(value.codec, value.meta), value)
    if isinstance(value, Coded):
        return Description(value.codec, len(value.body), "" if value.path else _noted(value.codec, value.meta))
    return Description(codec_name(type(value)), _size(value), _seen(value))


def _walked(value: Any, describe: Describe) -> Any:
    try:
        return _walk(value, describe)
    except RecursionError:
        return _TOO_DEEP


def _walk(value: Any, describe: Describe) -> Any:
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {key: _walk(each, describe) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(each, describe) for each in value]
    return describe(description_of(value)) if is_described(value) else value


def _as_data(found: Description) -> dict[str, Any]:
    what = {"what": found.what} if found.what else {}
    if found.ref is None:
        return {"$coded": found.codec, "bytes": found.bytes, **what}
    count = {} if found.ref.count is None else {"count": found.ref.count}
    return {"$ref": str(found.ref), "codec": found.codec, "bytes": found.bytes, **count, **what}


def _as_text(found: Description) -> str:
    kind = " ".join(filter(None, (found.codec, found.what or _items(found.ref))))
    size = "" if found.bytes is None else size_text(found.bytes)
    if found.ref is not None and found.ref.path:
        size = f"a part of {size}"
    return f"‹{', '.join(filter(None, (kind, size, '' if found.ref is None else str(found.ref))))}›"


def _items(ref: Ref | None) -> str:
    return "" if ref is None or ref.count is None else f"with {ref.count:,} {'item' if ref.count == 1 else 'items'}"


def _noted(codec: str, meta: bytes) -> str:
    """From what the codec noted beside the bytes: dtype and shape of an array. Empty where nothing is told, or nothing can be read."""
    if codec != "numpy":
        return ""
    try:
        descr, shape, *_ = ast.literal_eval(meta.decode())
        return f"{_dtype(descr)}[{','.join(map(str, shape))}]"
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return ""


def _dtype(descr: Any) -> str:
    """`<f8` of the NPY format as people know it, float64; of a structure its fields."""
    if not isinstance(descr, str):
        return f"({','.join(str(field[0]) for field in descr)})"
    kind, size = descr[1:2], descr[2:]
    return f"{_DTYPES[kind]}{int(size) * 8}" if kind in _DTYPES and size.isdigit() else "bool" if kind == "b" else descr


def _seen(value: Any) -> str:
    """By what arrays, tables and images have in common, so that no library is needed to ask."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if isinstance(shape, tuple) and dtype is not None:
        return f"{dtype}[{','.join(map(str, shape))}]"
    if isinstance(shape, tuple) and len(shape) == 2:
        return f"{shape[0]:,} × {shape[1]:,}"
    mode, size = getattr(value, "mode", None), getattr(value, "size", None)
    return f"{mode} {'×'.join(map(str, size))}" if isinstance(mode, str) and isinstance(size, tuple) else ""


def _size(value: Any) -> int | None:
    try:
        return nbytes(value)
    except (JetfleetError, OSError):
        return None
