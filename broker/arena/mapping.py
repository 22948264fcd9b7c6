"""A segment mapped for reading. The mapping holds the segment's shared lock until the last view of it is gone.

CPython's `mmap` keeps a duplicate of the descriptor that it was made from, and a lock lasts as long as any duplicate. So there is nothing to
release: views keep the mapping, the mapping keeps the descriptor, the descriptor keeps the lock.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import time

from ...schemas.payload_errors import ArenaUnusable, PayloadCorrupt, PayloadLost
from ...schemas.ref import Ref
from .folder import LIVE, Folder
from .layout import HEADER_BLOCK_BYTES, Entry, SegmentHeader, crc32, head_bytes, parse_entry, parse_segment
from .locks import share

LOCKED_FOR_S = 2.0
"""Somebody holds a segment alone for the moment in which it is freed."""
_PAUSE_S = 0.001


class Mapping(mmap.mmap):
    """All bytes of a segment, read-only. `refs` are those of the bodies that were handed out, by offset and length; `address`: of byte 0."""

    refs: dict[tuple[int, int], Ref]
    address: int

    @classmethod
    def of(cls, fd: int) -> Mapping:
        mapping = cls(fd, 0, access=mmap.ACCESS_READ)
        mapping.refs = {}
        mapping.address = address_of(mapping)[0]
        return mapping


def open_shared(folder: Folder, ref: Ref) -> int:
    """A descriptor of the ref's segment, its lock held shared. Raises PayloadLost, ArenaUnusable."""
    fd = folder.open_file(ref.segment + LIVE)
    if fd is None:
        why = "its segment is no plain file of this user any more" if folder.exists(ref.segment + LIVE) else "its segment was freed or removed"
        raise lost(ref, why)
    try:
        deadline = time.monotonic() + LOCKED_FOR_S
        while not share(fd):
            if time.monotonic() > deadline:
                raise ArenaUnusable(f"{ref} cannot be read now: another process has held its segment alone for {LOCKED_FOR_S:g} s")
            time.sleep(_PAUSE_S)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_header(ref: Ref, header: SegmentHeader | None, size: int) -> None:
    """Whether the segment is the one that the ref means. Raises PayloadLost, PayloadCorrupt."""
    if header is None:
        raise corrupt(ref, "its segment does not begin as a segment does")
    if header.generation != ref.generation:
        raise lost(ref, "its segment was freed and is used for other values now")
    if size < header.size_bytes:
        raise corrupt(ref, f"its segment was cut off: it has {size} bytes of {header.size_bytes}")
    if ref.offset < HEADER_BLOCK_BYTES or ref.length < 0 or ref.offset + ref.length > size:
        raise corrupt(ref, f"it leads outside of its segment, which has {size} bytes")


def lost(ref: Ref, why: str) -> PayloadLost:
    return PayloadLost(f"the value {ref} of run {ref.run or '(none)'} is lost: {why}", [ref])


def corrupt(ref: Ref, why: str) -> PayloadCorrupt:
    return PayloadCorrupt(f"the value {ref} of run {ref.run or '(none)'} is damaged: {why}", [ref])
