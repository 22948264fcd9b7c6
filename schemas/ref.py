"""A ref: where a value lies that is not in the payload itself.

A ref stands in a payload wherever a value can stand, as a msgpack extension of type REF. It names up to two places: an entry in the arena
of a host, and an object in the object store (`digest`). From either one gets exactly the bytes that were written, or a typed error.

`path` leads on into the value: `${load.rows[3].id}` of a large `rows` is the ref to `rows` with the path (3, "id"), made without reading
anything. So nobody needs to know a codec to hand a ref on, to pick from it, or to count its items.

Small values of types that msgpack lacks (an array, an image) stay in the payload, as an extension of type CODED.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import msgspec

REF_TYPE, CODED_TYPE = 1, 2
"""Types of msgpack extensions; never reused."""


class _Fields(msgspec.Struct, array_like=True, frozen=True):
    """A ref on the wire. Fields are only ever appended, with a default."""

    codec: str
    length: int
    crc: int
    host: str = ""
    segment: str = ""
    generation: int = 0
    offset: int = 0
    meta: bytes = b""
    count: int | None = None
    digest: str = ""
    key: str = ""
    run: str = ""
    activation: tuple[int | str, ...] = ()
    again: bool = False
    path: tuple[str | int, ...] = ()
    nested: bool = False


_WORD = re.compile(r"[A-Za-z0-9-]{0,64}", re.ASCII)
"""What may be a host or a digest. Both become words of subjects, and a ref may come from anybody: a wildcard would lead elsewhere."""

_values_of: Callable[[Any], tuple[Any, ...]] = attrgetter(*_Fields.__struct_fields__)


class Ref:
    """`host` names an arena, `segment`, `generation`, `offset` the entry's body in it; `host` "": it lies in the object store only.

    `length`, `crc` (CRC-32) and `codec` are those of the body; `meta` is the codec's own (dtype, shape, …). `count`: how many items a list
    has, None for what is no list. `digest`: SHA-256 of the body in hex, "" if it was not uploaded; `key` names the encryption key there.
    `run` and `activation` say who wrote it; `again`: that node declared itself idempotent, so that it may be executed again for this value.
    `nested`: refs or coded values stand inside it.

    Never changed once made. Not a Struct itself: encoders would write one as a list, and a ref must always become an extension.
    """

    __slots__ = _Fields.__struct_fields__

    def __init__(
        self,
        codec: str,
        length: int,
        crc: int,
        host: str = "",
        segment: str = "",
        generation: int = 0,
        offset: int = 0,
        meta: bytes = b"",
        count: int | None = None,
        digest: str = "",
        key: str = "",
        run: str = "",
        activation: tuple[int | str, ...] = (),
        again: bool = False,
        path: tuple[str | int, ...] = (),
        nested: bool = False,
    ) -> None:
        self.codec, self.length, self.crc = codec, length, crc
        self.host, self.segment, self.generation, self.offset = host, segment, generation, offset
        self.meta, self.count, self.digest, self.key = meta, count, digest, key
        self.run, self.activation, self.again = run, activation, again
        self.path, self.nested = path, nested

    def replace(self, **changes: Any) -> Ref:
        """The same ref but for these fields."""
        other = Ref(*self._values())
        for field, value in changes.items():
            setattr(other, field, value)
        return other

    def at(self, path: tuple[str | int, ...]) -> Ref:
        """What stands at a path inside the value; whether anything does is seen when it is read."""
        return self if not path else self.replace(path=(*self.path, *path), count=None)

    @property
    def whole(self) -> Ref:
        """The value that the path leads into."""
        return self.replace(path=()) if self.path else self

    @property
    def entry(self) -> tuple[str, str, int, int]:
        """Host, segment, generation and offset: which entry of which arena."""
        return (self.host, self.segment, self.generation, self.offset)

    def _values(self) -> tuple[Any, ...]:
        return _values_of(self)

    def __eq__(self, other: object) -> bool:
        return self._values() == other._values() if isinstance(other, Ref) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Ref{self._values()}"

    def __str__(self) -> str:
        """As people see it, and as `jetfleet payload` takes it: enough to find the bytes again."""
        place = f"{self.host}/{self.segment}/{self.generation}/{self.offset}" if self.host else self.digest[:12]
        inside = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in self.path)
        return f"ref:{place}{inside}"


class Coded:
    """A value that a codec has turned into bytes, small enough to travel inside a payload. Never changed once made.

    `path` leads on into it, and `count` says how many items it has, as those of a ref.
    """

    __slots__ = ("body", "codec", "count", "meta", "path")

    def __init__(self, codec: str, meta: bytes, body: bytes, path: tuple[str | int, ...] = (), count: int | None = None) -> None:
        self.codec, self.meta, self.body, self.path, self.count = codec, meta, body, path, count

    def at(self, path: tuple[str | int, ...]) -> Coded:
        """What stands at a path inside the value."""
        return Coded(self.codec, self.meta, self.body, (*self.path, *path))

    def _values(self) -> tuple[Any, ...]:
        return (self.codec, self.meta, self.body, self.path, self.count)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coded) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"Coded({self.codec!r}, {self.meta!r}, {len(self.body)} bytes)"

    def __str__(self) -> str:
        """As people see it."""
        return f"a `{self.codec}` value of {len(self.body)} bytes"


class ValueElsewhere(Exception):
    """Somebody has to look into a value who only holds the ref to it, or its coded form. Not an error of the user: whoever may read refs
    takes over.
    """

    def __init__(self, ref: Ref | Coded) -> None:
        super().__init__(f"the value lies elsewhere: {ref}")
        self.ref = ref


_encoder = msgspec.msgpack.Encoder()
_ref = msgspec.msgpack.Decoder(_Fields)
_coded = msgspec.msgpack.Decoder(tuple[str, bytes, bytes, tuple[int | str, ...], int | None])


def to_ext(value: Any) -> msgspec.msgpack.Ext:
    """A Ref or Coded as extension. Raises NotImplementedError for anything else, as msgspec's encoders expect of their hook."""
    if type(value) is Ref:
        return msgspec.msgpack.Ext(REF_TYPE, _encoder.encode(value._values()))
    if type(value) is Coded:
        return msgspec.msgpack.Ext(CODED_TYPE, _encoder.encode(value._values()))
    raise NotImplementedError(f"a value of type {type(value).__module__}.{type(value).__qualname__} has no form as bytes")


def from_ext(type: int, data: memoryview) -> Any:
    """The Ref or Coded that an extension holds; an extension of another type as it is. Raises MsgspecError."""
    if type == REF_TYPE:
        fields = _ref.decode(data)
        if not (_WORD.fullmatch(fields.host) and _WORD.fullmatch(fields.digest)):
            raise msgspec.ValidationError("a ref names a host or a digest that cannot be one")
        if not (fields.host or fields.digest):
            raise msgspec.ValidationError("a ref names neither a host nor a digest")
        return Ref(*msgspec.structs.astuple(fields))
    if type == CODED_TYPE:
        return Coded(*_coded.decode(data))
    return msgspec.msgpack.Ext(type, bytes(data))


def may_hold_ref(payload: bytes) -> bool:
    """False: there is no ref in it. True: look closer. Refs are longer than 16 bytes, so their extension begins with one of these bytes."""
    # As numbers: looking for bytes in bytes takes ten times as long.
    return 0xC7 in payload or 0xC8 in payload or 0xC9 in payload


def may_hold_extension(payload: bytes) -> bool:
    """False: neither a ref nor a coded value is in it. True: look closer."""
    return may_hold_ref(payload) or 0xD8 in payload
