"""Copies bytes into a segment and computes their checksum on the way: into mapped memory, or through the file.

The checksum is of what was copied, not of the original, which another thread may change meanwhile.
"""

from __future__ import annotations

import os
import pickle
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ...schemas.errors import UnencodableValue
from .layout import crc32

if TYPE_CHECKING:
    from typing_extensions import Buffer

BLOCK_BYTES = 256 << 10
"""Small enough that a block is still in the cache when its checksum is computed."""
_spare: deque[memoryview] = deque()
"""Blocks that nobody uses: as many as threads have written files at once. A new one would have to be cleared first."""


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
            crc = crc32(place, crc)
            offset += len(block)
    return crc


def write_file(fd: int, offset: int, parts: Sequence[memoryview], crc: int = 0) -> int:
    """As `copy_into`, but through a block of our own into a file; `crc` is that of what comes before. Raises OSError."""
    try:
        block = _spare.pop()
    except IndexError:
        block = memoryview(bytearray(BLOCK_BYTES))
    for part in parts:
        for start in range(0, len(part), BLOCK_BYTES):
            copy = block[: min(BLOCK_BYTES, len(part) - start)]
            copy[:] = part[start : start + BLOCK_BYTES]
            crc = crc32(copy, crc)
            _write_all(fd, copy, offset)
            offset += len(copy)
    _spare.append(block)
    return crc


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        done = os.pwrite(fd, data, offset)
        data, offset = data[done:], offset + done
