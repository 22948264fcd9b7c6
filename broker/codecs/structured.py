"""The codecs of structured values: `msgpack` for any, `list` for long lists whose items are wanted singly.

The body of `msgpack` is one document. That of a list is the document too, and after it a table with the place of each item in the body
(uint64, little-endian): the whole is decoded in one go, one item is found in constant time. Its meta says how many items there are
and where the table begins.

Refs and Coded values inside stay what they are: whoever reads them goes on from there. Pydantic models become maps, also deep inside; small
values of types with a codec (an array in a map) become Coded. Tuples and sets become lists.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from ...schemas.errors import UnencodableValue, UnreadablePayload
from ...schemas.payload import decode, find, list_header
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.ref import Coded, Ref, to_ext
from ...schemas.values import MISSING
from .codec import Encoded
from .plain import plain_form

_LIST_META = struct.Struct("<QQ")
_PLACE = struct.Struct("<Q")
DECODED_AT_ONCE = 1 << 12
"""Items of a list: decoding millions in one go would hold up every other thread, the event loop too."""


class StructuredCodec:
    name = "msgpack"

    def encode(self, value: Any) -> Encoded:
        return Encoded(b"", (encode_structured(value),), len(value) if isinstance(value, (list, tuple)) else None)

    def decode(self, body: memoryview, meta: bytes) -> Any:
        return _decode(body)

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return pick_document(body, path)


class ListCodec:
    name = "list"

    def encode(self, value: Any) -> Encoded:
        return list_of(map(encode_structured, value), len(value))

    def decode(self, body: memoryview, meta: bytes) -> list[Any]:
        count, table = _read_meta(body, meta)
        head, items = list_header(count), []
        if bytes(body[: len(head)]) != head:
            raise PayloadCorrupt(f"a list of {count} items is something else")
        for first in range(0, count, DECODED_AT_ONCE):
            items += self._decoded(body, count, table, first, min(first + DECODED_AT_ONCE, count))
        return items

    def _decoded(self, body: memoryview, count: int, table: int, first: int, end: int) -> list[Any]:
        """Some of the items. As a document of their own: other threads get their turn between one and the next."""
        start, last = _bounds(body, first, count, table)[0], _bounds(body, end - 1, count, table)[1]
        if not 0 < start < last <= table:
            raise PayloadCorrupt(f"items {first} to {end} of a list are said to be at {start} to {last} of {table} bytes")
        items: list[Any] = _decode(list_header(end - first) + bytes(body[start:last]))
        return items

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        if not path:
            return self.decode(body, meta)
        item = self.item(body, meta, path[0]) if isinstance(path[0], int) else None
        return MISSING if item is None else pick_document(item, path[1:])

    def item(self, body: memoryview, meta: bytes, index: int) -> memoryview | None:
        """The bytes of one item, a payload of its own; None if there is none. Raises PayloadCorrupt."""
        count, table = _read_meta(body, meta)
        return _item(body, index, count, table) if 0 <= index < count else None

    def items(self, body: memoryview, meta: bytes) -> Iterator[memoryview]:
        """The bytes of each item in order, without copying or decoding them. Raises PayloadCorrupt."""
        count, table = _read_meta(body, meta)
        return (_item(body, index, count, table) for index in range(count))


def list_of(items: Iterable[bytes], count: int) -> Encoded:
    """A list of `count` items that are encoded already. They are taken one by one, so that there is one copy of them in memory, not two."""
    body, places = bytearray(list_header(count)), array("Q")
    for item in items:
        places.append(len(body))
        body += item
    if sys.byteorder == "big":
        places.byteswap()
    return Encoded(_LIST_META.pack(count, len(body)), (body, places) if places else (body,), count)


FAILURES = (TypeError, ValueError, OverflowError, NotImplementedError, BufferError)
"""What encoders raise for a value that has no form as bytes."""


def encode_structured(value: Any) -> bytes:
    """A value as a msgpack document, small arrays and the like in it as Coded. Raises UnencodableValue."""
    try:
        return _encoder.encode(value)
    except RecursionError:
        raise UnencodableValue("the value is nested without end (does it contain itself?)") from None
    except FAILURES as error:
        raise UnencodableValue(f"the value cannot be encoded: {error}") from None


def pick_document(document: memoryview | bytes, path: tuple[str | int, ...]) -> Any:
    """What stands at a path in a msgpack document, or MISSING. Where the path leads into a ref or a Coded: that one, with the rest of it.

    Raises PayloadCorrupt.
    """
    try:
        found = find(memoryview(document).toreadonly(), path)  # type: ignore[arg-type]
    except UnreadablePayload as error:
        raise PayloadCorrupt(str(error)) from None
    return MISSING if found is None else _decode(found)


def _decode(document: memoryview | bytes) -> Any:
    try:
        return decode(document)  # type: ignore[arg-type]
    except UnreadablePayload as error:
        raise PayloadCorrupt(str(error)) from None


def _read_meta(body: memoryview, meta: bytes) -> tuple[int, int]:
    """Number of items, and where the table begins."""
    if len(meta) == _LIST_META.size:
        count, table = _LIST_META.unpack(meta)
        if table + count * _PLACE.size == body.nbytes:
            return count, table
    raise PayloadCorrupt(f"the table of a list does not fit into its {body.nbytes} bytes")


def _item(body: memoryview, index: int, count: int, table: int) -> memoryview:
    start, end = _bounds(body, index, count, table)
    if not 0 < start < end <= table:
        raise PayloadCorrupt(f"item {index} of a list is said to be at {start} to {end} of {table} bytes")
    return body[start:end]


def _bounds(body: memoryview, index: int, count: int, table: int) -> tuple[int, int]:
    """Where an item begins and ends, as the table says it."""
    (start,) = _PLACE.unpack_from(body, table + index * _PLACE.size)
    end = table if index + 1 == count else _PLACE.unpack_from(body, table + (index + 1) * _PLACE.size)[0]
    return start, end


def _hook(value: Any) -> Any:
    """What msgspec does not know: refs, values with a codec, models and the like."""
    from .registry import codec_for, to_coded

    if type(value) is Ref or type(value) is Coded:
        return to_ext(value)
    if codec_for(value) is not None:
        coded = to_coded(value)
        return to_ext(coded) if type(coded) is Coded else coded
    return plain_form(value)


_encoder = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=_hook)
