"""The layout of a payload: what of a value stays in it, and what is taken out and put into the arena.

Taken out are, from the outside in: values whose type has a codec, where they are larger than `inline_max_bytes`; of a map that is too
large the largest values, one level at a time, until the rest is small enough; a list that is too large, as a whole. What is small stays, so
that the coordinator can still decide by it.

One Layout is made for one value. It remembers what it has written, so nothing is written twice however often the value is looked at.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from ...schemas.errors import UnencodableValue
from ...schemas.payload import Payload, encode, list_header
from ...schemas.ref import Coded, Ref, may_hold_extension, to_ext
from ...schemas.values import MISSING
from ..codecs.codec import Codec, Encoded
from ..codecs.plain import plain_form
from ..codecs.registry import codec_for, codec_named, native
from ..codecs.structured import FAILURES, list_of

Write: TypeAlias = Callable[[Codec, Encoded, bool], Ref]
"""Puts a body into the arena: its codec, its bytes, and whether refs or coded values stand in it."""

NATIVE = (str, bytes, bytearray, memoryview)
"""What msgpack has a form of its own for, whatever its size."""
_SIZED = frozenset(NATIVE)
_PLAIN = frozenset((int, float, bool, type(None), dict, list, tuple))
"""What has no codec of its own. Looking a type up takes longer than encoding such a value."""
LONG_LIST = 1_000
SMALLEST_REF_BYTES = len(encode(Ref("", 0, 0)))
"""No real one is as small."""


def small_payload(value: Any, inline_max_bytes: int) -> Payload | None:
    """The payload of a value that has nothing to be taken out: nearly all are like that. None: it needs a Layout."""
    if type(value) is dict:
        if 2 * len(value) > inline_max_bytes:  # `_has_too_many`: a call would be a tenth of what is done here
            return None
        for item in value.values():
            if (type(item) in _SIZED and len(item) > inline_max_bytes) or _is_long(item):
                return None
    elif (type(value) in _SIZED and len(value) > inline_max_bytes) or _is_long(value):
        return None
    try:
        encoded = encode(value)
    except UnencodableValue:
        return None
    return encoded if len(encoded) <= inline_max_bytes else None


def _is_long(value: Any) -> bool:
    """Whether it is a list so long that encoding it in one call would hold up all other threads."""
    return type(value) in (list, tuple) and len(value) > LONG_LIST


def _has_too_many(map: Mapping[Any, Any], inline_max_bytes: int) -> bool:
    """Whether it is too large whatever is in it: keys and values have a byte each at least. Looking at each of a million takes seconds."""
    return 2 * len(map) > inline_max_bytes


class Layout:
    """`find`: the ref of a body that lies in the arena already, if it does. `part`: what a ref with a path leads to, where that is small,
    else the ref.
    """

    def __init__(
        self, inline_max_bytes: int, write: Write, find: Callable[[Codec, Encoded], Ref | None], part: Callable[[Ref], Any]
    ) -> None:
        self._inline_max = inline_max_bytes
        self._write = write
        self._find = find
        self._part = part
        self._lists: dict[int, tuple[Any, Encoded, bool]] = {}  # long ones, and whether refs or coded values stand in them
        self._done: dict[int, tuple[Any, Ref | Coded]] = {}  # by identity; the value is kept, so that no other gets its id
        self._plain_forms: dict[int, tuple[Any, Any]] = {}  # of models
        self._extensions = 0
        """How many refs and coded values were written so far."""
        self._encoder = msgspec.msgpack.Encoder(decimal_format="string", enc_hook=self._hook)

    def payload(self, value: Any) -> Payload:
        """The payload of the value. Raises UnencodableValue, UnknownCodec, and what `write` raises; then it may be asked for again."""
        try:
            try:
                return self._smallest(value)
            except BufferError:
                return self._smallest(_without_gaps(value))
        except RecursionError:
            raise UnencodableValue("the value is nested without end (does it contain itself?)") from None
        except FAILURES as error:
            raise UnencodableValue(f"the value cannot be encoded: {error}") from None

    def forget(self) -> None:
        """Let go of the value: the encoder refers back to us, so else it would stay until garbage is collected, which is seldom."""
        self._done.clear()
        self._lists.clear()
        self._plain_forms.clear()

    def _smallest(self, value: Any) -> Payload:
        value = self._without_model(value)
        if _is_long(value):
            return self._list(value)
        if self._is_leaf(value):
            return self._encoder.encode(self._leaf(value))
        map = _as_map(value)
        encoded = None
        if map is None or _has_too_many(map, self._inline_max) or not any(_is_long(item) or self._is_leaf(item) for item in map.values()):
            encoded = self._encoder.encode(value)
            if len(encoded) <= self._inline_max:
                return encoded
        slimmed = None if map is None else self._slimmed(map)
        return slimmed or self._encoder.encode(self._structured(value, encoded or self._encoder.encode(value)))

    def _is_leaf(self, value: Any) -> bool:
        """Whether a codec of its type takes the value; small texts and bytes are msgpack's own."""
        if type(value) in _PLAIN:
            return False
        if isinstance(value, NATIVE):
            return memoryview(value).nbytes > self._inline_max if not isinstance(value, str) else len(value) > self._inline_max
        return type(value) not in (Ref, Coded) and native(value) is MISSING and codec_for(value) is not None

    def _without_model(self, value: Any) -> Any:
        """What a pydantic model says that it is: its fields are not all, and not all of them are for others. Else the value itself."""
        if not hasattr(type(value), "__pydantic_fields__") or dataclasses.is_dataclass(value):
            return value
        if id(value) not in self._plain_forms:
            self._plain_forms[id(value)] = (value, plain_form(value))
        return self._plain_forms[id(value)][1]

    # --- values whose type has a codec

    def _hook(self, value: Any) -> Any:
        """What msgpack has no form for: a ref, something with a codec, or a model."""
        plain = native(value)
        if plain is not MISSING:
            return plain
        if type(value) is Ref and value.path:
            value = self._part(value)
            if type(value) is not Ref:
                return self._extension(self._leaf(value)) if self._is_leaf(value) else value
        if type(value) not in (Ref, Coded) and codec_for(value) is not None:
            value = self._leaf(value)
        return self._extension(value) if type(value) in (Ref, Coded) else plain_form(value)

    def _extension(self, value: Any) -> Any:
        self._extensions += 1
        return to_ext(value)

    def _leaf(self, value: Any) -> Ref | Coded:
        known = self._done.get(id(value))
        if known is None:
            codec = codec_for(value)
            assert codec is not None
            known = self._done[id(value)] = (value, self._placed(codec, codec.encode(value)))
        return known[1]

    def _placed(self, codec: Codec, encoded: Encoded) -> Ref | Coded:
        if encoded.nbytes > self._inline_max:
            return self._find(codec, encoded) or self._write(codec, encoded, False)
        return Coded(codec.name, encoded.meta, encoded.body(), count=encoded.count)

    # --- maps and lists

    def _slimmed(self, map: Mapping[Any, Any]) -> Payload | None:
        """The map with its largest values taken out until it is small enough; None if its many small values alone are too much."""
        if _has_too_many(map, self._inline_max):
            return None
        map = {key: self._without_model(item) for key, item in map.items()}
        parts = {key: self._list(item) if _is_long(item) else self._encoder.encode(self._leaf(item) if self._is_leaf(item) else item)
                 for key, item in map.items()}  # fmt: skip
        keys_bytes = len(self._encoder.encode(list(map))) - len(list_header(len(map)))
        # Seen before anything is written: at best each part becomes a ref.
        if keys_bytes + sum(min(len(part), SMALLEST_REF_BYTES) for part in parts.values()) > self._inline_max:
            return None
        total = keys_bytes + sum(len(part) for part in parts.values())
        largest = sorted(parts, key=lambda key: len(parts[key]))
        while total > self._inline_max:
            key = largest.pop() if largest else None
            if key is None or len(parts[key]) <= SMALLEST_REF_BYTES:
                return None
            smaller = self._taken_out(map[key], parts[key])
            if len(smaller) >= len(parts[key]):
                return None
            total += len(smaller) - len(parts[key])
            parts[key] = smaller
        return self._encoder.encode({key: msgspec.Raw(part) for key, part in parts.items()})

    def _list(self, value: Sequence[Any]) -> Payload:
        """A long list: encoded item by item, and taken out if it is too large."""
        known = self._lists.get(id(value))
        if known is None:
            before = self._extensions
            encoded = list_of(map(self._encoder.encode, value), len(value))
            known = self._lists[id(value)] = (value, encoded, self._extensions > before)
        _, encoded, nested = known
        document = memoryview(encoded.parts[0])  # what follows is the table of the items
        if document.nbytes <= self._inline_max:
            return bytes(document)
        if id(value) not in self._done:
            self._done[id(value)] = (value, self._write(codec_named("list"), encoded, nested))
        return self._encoder.encode(self._done[id(value)][1])

    def _taken_out(self, value: Any, encoded: Payload) -> Payload:
        map = _as_map(value)
        slimmed = self._slimmed(map) if map is not None and len(encoded) > self._inline_max else None
        return slimmed or self._encoder.encode(self._structured(value, encoded))

    def _structured(self, value: Any, encoded: Payload) -> Ref | Coded:
        known = self._done.get(id(value))
        if known is None:
            before = self._extensions
            codec, body = self._structure(value, encoded)
            known = self._done[id(value)] = (value, self._write(codec, body, self._extensions > before))
        return known[1]

    def _structure(self, value: Any, encoded: Payload) -> tuple[Codec, Encoded]:
        """How a value without a codec of its own lies in the arena: a list with the table of its items, anything else as msgpack.

        It is encoded here once more where refs may stand in it: the bytes alone do not tell, as numbers may look like the beginning of one,
        and what counts as nested has to be decoded as a whole by whoever fetches it.
        """
        if isinstance(value, (list, tuple)):
            return codec_named("list"), list_of(map(self._encoder.encode, value), len(value))
        if may_hold_extension(encoded):
            encoded = self._encoder.encode(value)
        return codec_named("msgpack"), Encoded(b"", [encoded])


def _without_gaps(value: Any) -> Any:
    """The value with bytes in the place of each memoryview that msgpack cannot write, because its memory is not in one piece."""
    if isinstance(value, memoryview):
        return value if value.c_contiguous else value.tobytes("C")
    if isinstance(value, (list, tuple)):
        return [_without_gaps(item) for item in value]
    map = _as_map(value)
    return value if map is None else {key: _without_gaps(item) for key, item in map.items()}


def _as_map(value: Any) -> Mapping[Any, Any] | None:
    """A map or dataclass as a map of its parts, which are as they were; None for anything else."""
    if isinstance(value, dict):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None
