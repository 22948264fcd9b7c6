"""The bytes of a segment: a header block, then entries, each a header followed by a body. See docs/payloads.md for the table.

Says what the bytes mean, and reads and writes none: `parse_entry` and `parse_segment` take them from whoever has them, and answer None for
anything that is not what it should be. Nothing here raises on bad bytes.
"""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Buffer

    crc32: Callable[[Buffer, int], int]

try:  # several times as fast; not built for every machine
    from isal.isal_zlib import crc32
except ImportError:
    crc32 = zlib.crc32

ALIGNMENT = 64
HEADER_BLOCK_BYTES = 4096
"""Where the first entry begins."""
ENTRY_HEADER_BYTES = 64
LONGEST_TEXT_BYTES = 0xFFFF
"""Of a run id, and of a codec's meta."""
LONGEST_CODEC = 8
VERSION = 1
NO_ENTRY = bytes(ENTRY_HEADER_BYTES)
"""What stands where the next entry will begin: whoever walks a segment stops there."""

_SEGMENT = struct.Struct("<4sIQQ")
_ENTRY = struct.Struct("<4sIQQIHH8sQ16x")
SEGMENT_MAGIC, ENTRY_MAGIC = b"JFSG", b"JFEN"
SEGMENT_NAME = re.compile(r"(?P<writer>[A-Za-z0-9_-]+)-(?P<number>[0-9]{1,12})", re.ASCII)
HOST_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)

if sys.byteorder != "little":  # pragma: no cover
    raise ImportError("the arena needs a machine with little-endian numbers")


def aligned(length: int, to: int = ALIGNMENT) -> int:
    """The next multiple of `to`."""
    return -(-length // to) * to


def head_bytes(run: bytes, meta: bytes) -> int:
    """How far the body begins behind the start of its entry."""
    return aligned(ENTRY_HEADER_BYTES + len(run) + len(meta))


def writer_of(segment: str) -> str | None:
    """Who writes the segment of this name; None if no segment is called so."""
    match = SEGMENT_NAME.fullmatch(segment)
    return match["writer"] if match else None


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """`size_bytes`: of the whole file, when it was last made or enlarged."""

    generation: int
    size_bytes: int

    def packed(self) -> bytes:
        return _SEGMENT.pack(SEGMENT_MAGIC, VERSION, self.generation, self.size_bytes)


def parse_segment(data: bytes) -> SegmentHeader | None:
    """The header of a segment from the first bytes of its file; None if they are none, or of a version that this code does not know."""
    if len(data) < _SEGMENT.size:
        return None
    magic, version, generation, size = _SEGMENT.unpack_from(data)
    return SegmentHeader(generation, size) if magic == SEGMENT_MAGIC and version == VERSION else None


class Entry(NamedTuple):
    """One entry's header. `offset` is where its body begins in the file; `written_ms` since the epoch.

    An entry without codec is a gap: it belongs to no run and only says where the next entry begins.
    """

    run: str
    codec: str
    length: int
    offset: int
    crc: int
    generation: int
    written_ms: int
    meta: bytes = b""

    @property
    def is_gap(self) -> bool:
        return not self.codec

    @property
    def start(self) -> int:
        return self.offset - head_bytes(self.run.encode(), self.meta)

    @property
    def end(self) -> int:
        """Where the next entry begins."""
        return self.offset + aligned(self.length)

    def packed(self) -> bytes:
        """The header, run and meta, padded up to the body."""
        run = self.run.encode()
        head = _ENTRY.pack(
            ENTRY_MAGIC, 0, self.generation, self.length, self.crc, len(run), len(self.meta), self.codec.encode(), self.written_ms
        )
        covered = head[8:] + run + self.meta
        checksum = crc32(covered, 0)
        return (head[:4] + checksum.to_bytes(4, "little") + covered).ljust(head_bytes(run, self.meta), b"\0")


def parse_entry(read: Callable[[int, int], bytes], start: int, generation: int, size: int) -> Entry | None:
    """The entry that begins at `start` in a file of `size` bytes; None if none of this generation does.

    `read(offset, length)` gives bytes of the file, fewer where it ends.
    """
    fixed = read(start, ENTRY_HEADER_BYTES)
    if len(fixed) < ENTRY_HEADER_BYTES or fixed[:4] != ENTRY_MAGIC:
        return None
    _, checksum, entry_generation, length, crc, run_length, meta_length, codec, written_ms = _ENTRY.unpack(fixed)
    offset = start + aligned(ENTRY_HEADER_BYTES + run_length + meta_length)
    if entry_generation != generation or offset + length > size:
        return None
    texts = read(start + ENTRY_HEADER_BYTES, run_length + meta_length)
    if crc32(texts, crc32(fixed[8:], 0)) != checksum:
        return None
    try:
        run, name = texts[:run_length].decode(), codec.rstrip(b"\0").decode("ascii")
    except UnicodeDecodeError:
        return None
    return Entry(run, name, length, offset, crc, generation, written_ms, texts[run_length:])
