"""A segment mapped for reading. The mapping holds the segment's shared lock until the last view of it is gone.

CPython's `mmap` keeps a duplicate of the descriptor that it was made from, and a lock lasts as long as any duplicate. So there is nothing
to release: views keep the mapping, the mapping keeps the descriptor, the descriptor keeps the lock.
"""

from __future__ import annotations

import mmap
import os

from ...schemas.ref import Ref
from .address import address_of


class Mapping(mmap.mmap):
    """All bytes of a segment, read-only. `refs`: of the bodies that were handed out, by offset and length; `address`: of byte 0."""

    refs: dict[tuple[int, int], Ref]
    address: int

    @classmethod
    def of(cls, fd: int) -> Mapping:
        """Raises OSError or ValueError if the file cannot be mapped."""
        mapping = cls(fd, 0, access=mmap.ACCESS_READ)
        mapping.refs = {}
        mapping.address = address_of(mapping)[0]
        return mapping

    def bytes_at(self, offset: int, length: int) -> bytes:
        return self[offset : offset + length]


def may_have_holes(fd: int) -> bool:
    """Whether fewer blocks belong to the file than its size needs. Segments are reserved whole: then somebody else has been at it, or
    the file system compresses."""
    status = os.fstat(fd)
    return status.st_blocks * 512 < status.st_size


def has_hole(fd: int, offset: int, length: int) -> bool:
    """Whether a part of these bytes has no place on the disk or in memory: touching a mapping of it on a full tmpfs kills the process."""
    if not length or not hasattr(os, "SEEK_HOLE"):
        return bool(length)
    try:
        return os.lseek(fd, offset, os.SEEK_HOLE) < offset + length
    except OSError:
        return True
