"""A payload: one value as bytes, and the few ways to look into it without decoding it.

A payload is a msgpack document. It is immutable, so one node can never change what another one sees, and it is
what travels in records, tasks and snapshots. Combining payloads (the map that a join hands on, the list that a
split collects) is done on the bytes: nothing is decoded.

A value that lies elsewhere (arena, object store) is a *ref* (see `ref`): an extension inside the document. A ref can therefore stand
wherever a value can, also deep inside a combined payload. Here a ref is a value like others: nothing reads what it refers to.

Guarantees: `decode(encode(v)) == v` for JSON-like values and bytes; equal values with equal key order give equal bytes.
Does not: keep tuples (they become lists), sets, or integers beyond 64 bits (typed error).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import msgpack
import msgspec

from .errors import UnencodableValue, UnreadablePayload
from .ref import Coded, Ref, from_ext, may_hold_ref, to_ext

Payload: TypeAlias = bytes

_encoder = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=to_ext)
_decoder = msgspec.msgpack.Decoder(ext_hook=from_ext)
_raw = msgspec.msgpack.Decoder(msgspec.Raw)

NULL: Payload = _encoder.encode(None)
PIECE_BYTES = 64 << 10

_EXTENSIONS = (b"\xc7", b"\xc8", b"\xc9", b"\xd8")
"""With what an extension begins that is long enough to be a ref or a coded value."""


def encode(value: Any) -> Payload:
    """Encode a JSON-like value (also bytes, dataclasses, datetimes) as a payload.

    Raises UnencodableValue for what msgpack has no form for: functions, cycles, integers beyond 64 bits.
    """
    try:
        return _encoder.encode(value)
    except RecursionError:
        raise UnencodableValue("the value is nested without end (does it contain itself?)") from None
    except (TypeError, ValueError, OverflowError, NotImplementedError, BufferError) as error:
        raise UnencodableValue(f"the value cannot be encoded: {error}") from None


def decode(payload: Payload) -> Any:
    """The value of an inline payload. Raises UnreadablePayload if the bytes are no msgpack document."""
    try:
        return _decoder.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise UnreadablePayload(f"a payload of {len(payload)} bytes is not a readable value: {error}") from None


def refs_in(payload: Payload) -> list[Ref]:
    """All refs that stand in the payload, in order. Costs next to nothing where there are none. Raises UnreadablePayload."""
    if not may_hold_ref(payload):
        return []
    found: list[Ref] = []

    def note(type: int, data: memoryview) -> Any:
        value = from_ext(type, data)
        if isinstance(value, Ref):
            found.append(value)
        return None

    try:
        msgspec.msgpack.Decoder(ext_hook=note).decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
        raise UnreadablePayload(f"a payload of {len(payload)} bytes is not a readable value: {error}") from None
    return found


def is_whole(payload: Payload) -> bool:
    """Whether the bytes are exactly one msgpack document. Joins work on bytes: anything else would corrupt what it is joined with."""
    try:
        _raw.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return False
    return True


def is_readable(payload: Payload) -> bool:
    """Whether the bytes are one msgpack document, and each ref in it says where its value lies."""
    try:
        refs_in(payload)
    except UnreadablePayload:
        return False
    return is_whole(payload)


def pack_map(items: Iterable[tuple[str, Payload]]) -> Payload:
    """{key: payload, …} as one payload, in the given order, by joining bytes."""
    pairs = list(items)
    out = bytearray(_map_header(len(pairs)))
    for key, payload in pairs:
        out += _encoder.encode(key)
        out += payload
    return bytes(out)


def pack_list(items: Iterable[Payload]) -> Payload:
    """[payload, …] as one payload, by joining bytes."""
    parts = list(items)
    return list_header(len(parts)) + b"".join(parts)


def find(payload: Payload, path: Sequence[str | int]) -> Payload | None:
    """The bytes of the value at a path, without decoding what lies around it; None if nothing is there.

    Inside a value that lies elsewhere: the ref to it. Raises UnreadablePayload if the bytes are no value.
    """
    if not path:
        return payload
    unpacker = _walker(payload)
    try:
        for place, step in enumerate(path):
            start = unpacker.tell()
            if not _step(unpacker, step):
                return _inside_extension(payload[start:], tuple(path[place:]))
        start = unpacker.tell()
        unpacker.skip()
        return payload[start : unpacker.tell()]
    except (ValueError, msgpack.exceptions.UnpackException) as error:
        raise UnreadablePayload(f"a payload of {len(payload)} bytes is not a readable value: {error}") from None


def _walker(payload: Payload) -> msgpack.Unpacker:
    """An unpacker at the beginning of the payload. Of a large one it takes piece by piece: what stands behind the wanted is not read."""
    limit = max(len(payload), 1)
    if limit > PIECE_BYTES:
        return msgpack.Unpacker(_Pieces(payload), read_size=PIECE_BYTES, max_buffer_size=limit, strict_map_key=False)
    unpacker = msgpack.Unpacker(max_buffer_size=limit, strict_map_key=False)
    unpacker.feed(payload)
    return unpacker


class _Pieces:
    """Memory as a file that can only be read on."""

    def __init__(self, data: Payload) -> None:
        self._rest = memoryview(data)

    def read(self, count: int) -> bytes:
        piece, self._rest = self._rest[:count], self._rest[count:]
        return bytes(piece)


def _inside_extension(payload: Payload, path: tuple[str | int, ...]) -> Payload | None:
    """The ref to what stands at the path, if the bytes begin with a ref: the way leads on into what it refers to. So with a coded value."""
    if payload[:1] not in _EXTENSIONS:
        return None
    unpacker = msgpack.Unpacker(max_buffer_size=max(len(payload), 1))
    unpacker.feed(payload)
    unpacker.skip()
    value = decode(payload[: unpacker.tell()])
    return encode(value.at(path)) if isinstance(value, (Ref, Coded)) else None


def _step(unpacker: msgpack.Unpacker, step: str | int) -> bool:
    """Move to the value under a key or index; False if the value here has none."""
    try:
        length: int = unpacker.read_array_header() if isinstance(step, int) else unpacker.read_map_header()
    except ValueError:  # a list where a map is asked for, or the other way round
        return False
    if isinstance(step, int):
        for _ in range(min(step, length)):
            unpacker.skip()
        return step < length
    for _ in range(length):
        if unpacker.unpack() == step:
            return True
        unpacker.skip()
    return False


def list_header(length: int) -> bytes:
    """The msgpack head of a list of `length` items, for callers that collect the items' bytes themselves."""
    return bytes(_packer.pack_array_header(length))


def _map_header(length: int) -> bytes:
    return bytes(_packer.pack_map_header(length))


_packer = msgpack.Packer()


def ref_of(payload: Payload) -> Ref | Coded | None:
    """The ref or coded value, if the payload is nothing but one. Raises UnreadablePayload."""
    if payload[:1] not in _EXTENSIONS:
        return None
    value = decode(payload)
    return value if type(value) in (Ref, Coded) else None


class ListCursor:
    """Walks the items of a list payload as slices of its bytes: an item costs nothing until it is asked for.

    `total` is the number of items, `position` the index of the next one, `offset` where it starts in the bytes.
    Raises UnreadablePayload if the payload is no list.
    """

    __slots__ = ("_base", "_unpacker", "data", "offset", "position", "total")

    def __init__(self, data: Payload, position: int = 0, offset: int = 0) -> None:
        self.data = data
        self._unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
        self._unpacker.feed(data)
        try:
            self.total: int = self._unpacker.read_array_header()
            self.offset: int = self._unpacker.tell()
            self.position = 0
            if position:
                self._unpacker = msgpack.Unpacker(max_buffer_size=max(len(data), 1))
                self._unpacker.feed(memoryview(data)[offset:])
                self.position, self.offset = position, offset
        except (ValueError, msgpack.exceptions.UnpackException) as error:
            raise UnreadablePayload(f"the payload is not a list: {error}") from None
        self._base = self.offset - self._unpacker.tell()

    def __iter__(self) -> Iterator[Payload]:
        while self.position < self.total:
            yield self.next(1)

    def next(self, count: int) -> Payload:
        """The bytes of the next `count` items, one after the other and without a list head."""
        start = self.offset
        try:
            for _ in range(count):
                self._unpacker.skip()
        except (ValueError, msgpack.exceptions.UnpackException) as error:
            raise UnreadablePayload(f"item {self.position} cannot be read: {error}") from None
        self.position += count
        self.offset = self._base + self._unpacker.tell()
        return self.data[start : self.offset]


class RefCursor:
    """Walks the items of a list that lies elsewhere, or of a coded value, as refs that are made when they are asked for; nothing is read.

    As for ListCursor, `total` is the number of items, and `position` the index of the next one; there are no bytes for `offset` to count.
    An item of a coded value is that value, bytes and all, with a path: they are small, and nobody here can cut them.
    Raises UnreadablePayload if it is not known how many items the value has.
    """

    __slots__ = ("_ref", "offset", "position", "total")

    def __init__(self, ref: Ref | Coded, position: int = 0) -> None:
        if ref.count is None or ref.path:
            raise UnreadablePayload(f"it is not known to be a list: {ref!r}")
        self._ref, self.total, self.position, self.offset = ref, ref.count, position, 0

    def next(self, count: int) -> Payload:
        """The refs to the next `count` items, one after the other and without a list head."""
        start, self.position = self.position, self.position + count
        return b"".join(_encoder.encode(self._ref.at((index,))) for index in range(start, self.position))


def cursor(data: Payload, position: int = 0, offset: int = 0) -> ListCursor | RefCursor:
    """The cursor for the items of a list, be they in the payload or elsewhere. Raises UnreadablePayload if it is no list."""
    ref = ref_of(data)
    return ListCursor(data, position, offset) if ref is None else RefCursor(ref, position)
