"""Targets: values as bytes: payloads, refs in them, and the codecs of what is large or of another type."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from jetfleet.broker.codecs.registry import codec_named, from_coded
from jetfleet.schemas.errors import JetfleetError, UnreadablePayload
from jetfleet.schemas.payload import ListCursor, cursor, decode, encode, find, is_whole, ref_of, refs_in
from jetfleet.schemas.payload_errors import PayloadError
from jetfleet.schemas.ref import Coded, Ref, ValueElsewhere
from jetfleet.schemas.values import deep_merge, delete_path, equal, set_path, to_bool, to_number, to_text

from .target import Target

REF = Ref(
    "numpy",
    240_000,
    0x1A2B3C4D,
    "host-1f",
    "w-1",
    1,
    4_160,
    b"('<f8', (10000, 3), False)",
    10_000,
    run="orders-1",
    activation=(0, 2),
    again=True,
    path=("rows", 3),
)
VALUES: tuple[Any, ...] = (
    {"order": 5, "lines": [1, 2.5, "x", None, True, b"raw"], "deep": {"a": [{"b": 1}]}},
    [1, [2, [3]]],
    REF,
    {"rows": REF, "more": [REF]},
    Coded("numpy", b"('<i8', (2,), False)", bytes(16), count=2),
    "text",
    None,
)


def _payloads() -> Sequence[bytes]:
    return [encode(value) for value in VALUES]


def _looked_into(data: bytes) -> None:
    """Every way to look into a payload without decoding it whole."""
    is_whole(data)
    for look in (refs_in, ref_of, lambda payload: find(payload, ("deep", "a", 0)), lambda payload: find(payload, (1, 1))):
        try:
            look(data)  # type: ignore[operator]
        except UnreadablePayload:
            continue


def _walked(data: bytes) -> None:
    """The items of a list, as a split takes them."""
    items = cursor(data)
    for _ in range(min(items.total, 50)):
        items.next(1)
    if isinstance(items, ListCursor) and items.position < items.total:
        ListCursor(data, items.position, items.offset)


def _compared(data: bytes) -> None:
    """What conditions and templates do with a value."""
    value = decode(data)
    for look in (
        to_text,
        to_number,
        to_bool,
        lambda each: equal(each, 5),
        lambda each: set_path(each, ("a", 0), 1),
        lambda each: delete_path(each, ("a",)),
        lambda each: deep_merge([each, {"a": 1}]),
    ):
        try:
            look(value)
        except ValueElsewhere:
            continue
        except JetfleetError:
            continue


def _coded(data: bytes) -> None:
    value = decode(data)
    if isinstance(value, Coded):
        from_coded(value)


def _codec(name: str, *examples: Callable[[], Any]) -> Target:
    """The body that a codec has written, and what it says about it, each damaged. A case begins with the length of the meta."""

    def seeds() -> Sequence[bytes]:
        found = []
        for example in examples:
            encoded = codec_named(name).encode(example())
            found.append(bytes([len(encoded.meta)]) + encoded.meta + bytes(encoded.body()))
        return found

    def read(data: bytes) -> None:
        length = data[0] if data else 0
        meta, body = data[1 : 1 + length], memoryview(data)[1 + length :]
        codec = codec_named(name)
        codec.decode(body, meta)
        codec.pick(body, meta, (0,))
        codec.pick(body, meta, ("a", 0))

    return Target(f"codec {name}", read, seeds, (PayloadError,))


def _array() -> Any:
    import numpy

    return numpy.array([(1, 2.5)], dtype=[("a", "<i4"), ("b", "<f8")])


def _numbers() -> Any:
    import numpy

    return numpy.arange(12, dtype="<i2").reshape(3, 4)


def _table() -> Any:
    import pyarrow

    return pyarrow.table({"a": [1, 2, None], "b": ["x", "y", "z"]})


def _frame() -> Any:
    import pandas

    return pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})


def _image() -> Any:
    from PIL import Image

    return Image.new("RGB", (4, 3))


def _palette() -> Any:
    from PIL import Image

    return Image.new("P", (4, 3))


_LIBRARIES: tuple[tuple[str, str, tuple[Callable[[], Any], ...]], ...] = (
    ("numpy", "numpy", (_array, _numbers)),
    ("pyarrow", "arrow", (_table,)),
    ("pandas", "pandas", (_frame,)),
    ("PIL", "image", (_image, _palette)),
)
TARGETS = (
    Target("payload", lambda data: encode(decode(data)), _payloads, (UnreadablePayload,)),
    Target("payload, looked into", _looked_into, _payloads, ()),
    Target("payload, as a list", _walked, _payloads, (UnreadablePayload,)),
    Target("payload, compared", _compared, _payloads, (UnreadablePayload,)),
    Target("coded value", _coded, _payloads, (UnreadablePayload, PayloadError)),
    _codec("msgpack", lambda: {"a": [1, 2, {"b": 3}]}),
    _codec("list", lambda: [1, "two", {"a": 3}]),
    _codec("text", lambda: "a text"),
    _codec("bytes", lambda: b"bytes"),
    *(_codec(name, *examples) for library, name, examples in _LIBRARIES if find_spec(library) is not None),
)
