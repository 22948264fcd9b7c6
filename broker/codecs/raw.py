"""The codecs `bytes` and `buffer`: memory as it is.

`bytes` gives a copy back, because nothing else is a `bytes`; whoever wants none asks for the view (see `workers.views`).
`buffer` takes anything with the buffer protocol, and gives a read-only memoryview of single bytes. Formats and shapes are not kept.
"""

from __future__ import annotations

from typing import Any

from ...schemas.errors import UnencodableValue
from ...schemas.values import MISSING
from .codec import Encoded


class BytesCodec:
    name = "bytes"

    def encode(self, value: Any) -> Encoded:
        return Encoded(b"", (value,) if value else ())

    def decode(self, body: memoryview, meta: bytes) -> bytes:
        return bytes(body)

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return MISSING if path else self.decode(body, meta)


class BufferCodec:
    name = "buffer"

    def encode(self, value: Any) -> Encoded:
        view = flat(value)
        return Encoded(b"", (view,) if view.nbytes else ())

    def decode(self, body: memoryview, meta: bytes) -> memoryview:
        return body.toreadonly()

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return MISSING if path else self.decode(body, meta)


def flat(value: Any) -> memoryview:
    """The memory of a value as single bytes, in C order; a copy only where the memory has gaps or is in another order.

    Raises UnencodableValue for what gives no access to its memory.
    """
    try:
        view = memoryview(value)
    except (TypeError, ValueError, BufferError) as error:
        raise UnencodableValue(f"the memory of a {type(value).__qualname__} cannot be read: {error}") from None
    if not view.nbytes:
        return memoryview(b"")
    return view.cast("B") if view.c_contiguous else memoryview(view.tobytes("C"))
