"""How the tests take a value through real memory, as an arena would, at places that nothing is aligned to."""

from __future__ import annotations

from typing import Any

from jetfleet.broker.codecs.codec import Codec, Encoded
from jetfleet.broker.codecs.registry import codec_for, codec_named


def codec_of(value: Any) -> Codec:
    """The codec that the plane would take for a large value."""
    codec = codec_for(value)
    if codec is None:
        codec = codec_named("list" if isinstance(value, (list, tuple)) else "msgpack")
    return codec


def body_of(encoded: Encoded, offset: int = 0) -> memoryview:
    """The body, read-only, that many bytes behind the beginning of a buffer, with more bytes after it."""
    buffer = bytes(offset) + b"".join(encoded.parts) + b"behind"
    return memoryview(buffer)[offset : offset + encoded.nbytes]


def there_and_back(value: Any, offset: int = 0) -> Any:
    codec = codec_of(value)
    encoded = codec.encode(value)
    return codec.decode(body_of(encoded, offset), encoded.meta)


def picked(value: Any, *path: str | int) -> Any:
    codec = codec_of(value)
    encoded = codec.encode(value)
    return codec.pick(body_of(encoded, 3), encoded.meta, path)


def address(view: memoryview) -> range:
    """Where the bytes of a view lie."""
    import numpy as np

    start = int(np.frombuffer(view, np.uint8).ctypes.data)
    return range(start, start + view.nbytes)
