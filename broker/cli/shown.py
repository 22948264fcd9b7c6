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

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from ...schemas.errors import JetfleetError
from ...schemas.ref import Coded, Ref
from ..codecs.registry import codec_for, nbytes
from .sizes import size_text

Describe: TypeAlias = Callable[["Description"], Any]
_JSON = (str, int, float, bool, type(None), bytes)
_TOO_DEEP = "‹nested too deeply to be shown›"


class Description(msgspec.Struct, frozen=True):
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
    return isinstance(value, Ref | Coded) or (not isinstance(value, _JSON) and bool(_codec_name(value)))


def description_of(value: Any) -> Description:
    """Of a ref, a coded value, or a value of a type that JSON does not have."""
    if isinstance(value, Ref):
        return Description(value.codec, value.length, "" if value.path else _what_is_coded(value.codec, value.meta), value)
    if isinstance(value, Coded):
        return Description(value.codec, len(value.body), _what_is_coded(value.codec, value.meta))
    return Description(_codec_name(value), _size_of(value), _what_is(value))


def _walked(value: Any, describe: Describe) -> Any:
    try:
        return _walk(value, describe)
    except RecursionError:
        return _TOO_DEEP


def _walk(value: Any, describe: Describe) -> Any:
    if isinstance(value, _JSON):
        return value
    if isinstance(value, dict):
        return {key: _walk(each, describe) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(each, describe) for each in value]
    if is_described(value):
        return describe(description_of(value))
    return value  # of a type that the encoder knows, such as a time


def _as_data(found: Description) -> dict[str, Any]:
    facts = {"what": found.what} if found.what else {}
    if found.ref is None:
        return {"$coded": found.codec, "bytes": found.bytes, **facts}
    count = {} if found.ref.count is None else {"count": found.ref.count}
    return {"$ref": str(found.ref), "codec": found.codec, "bytes": found.bytes, **count, **facts}


def _as_text(found: Description) -> str:
    count = found.ref.count if found.ref is not None and not found.what else None
    kind = " ".join(filter(None, (found.codec, found.what, "" if count is None else f"with {count:,} items")))
    within = "inside " if found.ref is not None and found.ref.path else ""
    size = "" if found.bytes is None else within + size_text(found.bytes)
    return f"‹{', '.join(filter(None, (kind, size, '' if found.ref is None else str(found.ref))))}›"


def _what_is_coded(codec: str, meta: bytes) -> str:
    """From the codec's own notes, which hold dtype and shape of an array, mode and size of an image. Empty where they say nothing."""
    try:
        notes = msgspec.msgpack.decode(meta)
    except (msgspec.MsgspecError, ValueError):
        return ""
    return ""


def _what_is(value: Any) -> str:
    """By what arrays, tables, frames and images have in common, so that no library is needed to ask."""
    shape = getattr(value, "shape", None)
    columns = getattr(value, "column_names", None) or getattr(value, "columns", None)
    if isinstance(shape, tuple) and columns is not None and len(shape) == 2:
        return f"{shape[0]:,} × {shape[1]:,}"
    if isinstance(shape, tuple) and hasattr(value, "dtype"):
        return f"{value.dtype}[{','.join(map(str, shape))}]"
    mode, size = getattr(value, "mode", None), getattr(value, "size", None)
    if isinstance(mode, str) and isinstance(size, tuple):
        return f"{mode} {'×'.join(map(str, size))}"
    return ""


def _codec_name(value: Any) -> str:
    """Of a value that only a codec can write; empty for all others."""
    try:
        codec = codec_for(value)
    except JetfleetError:  # the library that knows such values is missing here
        return type(value).__name__
    return "" if codec is None else codec.name


def _size_of(value: Any) -> int | None:
    try:
        return nbytes(value)
    except JetfleetError:
        return None
