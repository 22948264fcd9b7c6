"""The codec `pickle`: anything else, in deployments that allow it (`JETFLEET_PICKLE=allow`) on both sides.

Protocol 5: large buffers inside (arrays in objects) are written from their own memory and read from the body. Each type that is
pickled is warned about once: a class that moves or changes cannot be read any more by runs that are under way.
"""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import msgspec
import structlog

from ...schemas.errors import UnencodableValue
from ...schemas.messages import FAILURES
from ...schemas.payload_errors import PayloadCorrupt, UnknownCodec
from ...schemas.values import get
from .codec import META_BYTES_MAX, Encoded
from .permission import VARIABLE, pickle_allowed

_log = structlog.get_logger(__name__)
_warned: set[type] = set()


class PickleCodec:
    name = "pickle"

    def encode(self, value: Any) -> Encoded:
        _require_permission()
        _warn(type(value))
        buffers: list[pickle.PickleBuffer] = []
        try:
            stream = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
            parts = [memoryview(stream), *(buffer.raw() for buffer in buffers)]
        except Exception as error:  # whatever the classes of the value raise
            raise UnencodableValue(f"a value of type {type(value).__qualname__} cannot be pickled: {error}") from None
        meta = msgspec.msgpack.encode([part.nbytes for part in parts])
        if len(meta) > META_BYTES_MAX:
            raise UnencodableValue(f"a value of type {type(value).__qualname__} has {len(buffers)} buffers, too many to pickle")
        return Encoded(meta, parts)

    def decode(self, body: memoryview, meta: bytes) -> Any:
        _require_permission()
        stream, *buffers = _take_apart(body, meta)
        try:
            return pickle.loads(stream, buffers=buffers)
        except Exception as error:  # whatever the classes of the value raise
            raise PayloadCorrupt(f"{body.nbytes} bytes cannot be unpickled: {type(error).__name__}: {error}") from None

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        value = self.decode(body, meta)
        return get(value, path) if path else value


def _take_apart(body: memoryview, meta: bytes) -> list[memoryview]:
    """The pickle, and the buffers that it refers to."""
    try:
        lengths = msgspec.msgpack.decode(meta, type=list[int])
    except FAILURES as error:
        raise PayloadCorrupt(f"the buffers of a pickle cannot be told apart: {error}") from None
    if not lengths or min(lengths) < 0 or sum(lengths) != body.nbytes:
        raise PayloadCorrupt(f"the buffers of a pickle do not fit into its {body.nbytes} bytes")
    ends = list(itertools.accumulate(lengths))
    return [body[end - length : end].toreadonly() for length, end in zip(lengths, ends, strict=True)]


def _warn(type: type) -> None:
    if type not in _warned:
        _warned.add(type)
        _log.warning(
            "a value is pickled: whoever reads it executes what its writer wanted, and must have the same class",
            type=f"{type.__module__}.{type.__qualname__}",
        )


def _require_permission() -> None:
    if not pickle_allowed():
        raise UnknownCodec(
            f"a value is, or would have to be, pickled, which this process does not allow; set {VARIABLE}=allow where everybody who can "
            "write to the server and the arena is trusted, or return a map, a dataclass, bytes, an array or a table"
        )
