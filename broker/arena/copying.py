"""Copies bytes into mapped memory and computes their checksum on the way."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...schemas.errors import UnencodableValue
from .layout import crc32

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK_BYTES = 256 << 10
"""Small enough that a block is still in the cache when its checksum is computed."""


def as_bytes(part: Buffer) -> memoryview:
    """The part's memory as bytes, whatever its format and shape. Raises UnencodableValue if it does not lie in one piece."""
    try:
        return pickle.PickleBuffer(part).raw()
    except BufferError:
        raise UnencodableValue("the memory of the value does not lie in one piece: make a contiguous copy of it") from None


def copy_into(memory: memoryview, offset: int, parts: Sequence[memoryview], before: Callable[[int], None]) -> int:
    """Copies the parts, one behind the other, to `offset`; gives the CRC-32 of what lies there then. Calls `before` with the end of each
    block before it is copied.
    """
    crc = 0
    for part in parts:
        for start in range(0, len(part), BLOCK_BYTES):
            block = part[start : start + BLOCK_BYTES]
            before(offset + len(block))
            place = memory[offset : offset + len(block)]
            place[:] = block
            crc = crc32(place, crc)  # of the copy: the original may be changed meanwhile by another thread
            offset += len(block)
    return crc
