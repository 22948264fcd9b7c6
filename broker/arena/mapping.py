"""A segment mapped for reading. The mapping holds the segment's shared lock until the last view of it is gone.

CPython's `mmap` keeps a duplicate of the descriptor that it was made from, and a lock lasts as long as any duplicate. So there is nothing
to release: views keep the mapping, the mapping keeps the descriptor, the descriptor keeps the lock.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
from functools import cached_property

from ...schemas.ref import Ref
from .address import address_of

_POPULATE_READ = 22
"""Linux 5.14's MADV_POPULATE_READ, which `mmap` has no name for yet."""


class Mapping(mmap.mmap):
    """All bytes of a segment, read-only. `refs`: of the bodies that were handed out, by offset and length."""

    refs: dict[tuple[int, int], Ref]
    _brought_in: set[tuple[int, int]]

    @classmethod
    def of(cls, fd: int) -> Mapping:
        """Raises OSError or ValueError if the file cannot be mapped."""
        mapping = cls(fd, 0, access=mmap.ACCESS_READ)
        mapping.refs, mapping._brought_in = {}, set()
        return mapping

    @cached_property
    def address(self) -> int:
        """Of byte 0. Most readers never ask."""
        return address_of(self)[0]

    def bytes_at(self, offset: int, length: int) -> bytes:
        """Of headers. Raises OSError, as `bring_in`, when it is asked for them first."""
        pages = offset // mmap.PAGESIZE, (offset + length) // mmap.PAGESIZE
        if pages not in self._brought_in:
            self.bring_in(offset, length)
            self._brought_in.add(pages)
        return self[offset : offset + length]

    def bring_in(self, offset: int, length: int) -> None:
        """Brings these bytes' pages in. Raises OSError where touching one would kill the process: its disk fails, or it is gone."""
        if not length or sys.platform != "linux":
            return
        start = offset - offset % mmap.PAGESIZE
        try:
            self.madvise(_POPULATE_READ, start, offset + length - start)
        except OSError as error:
            if error.errno != errno.EINVAL:  # an older kernel: pages come when they are touched
                raise


def may_have_holes(status: os.stat_result) -> bool:
    """Whether fewer blocks belong to the file than its size needs. Segments are reserved whole: then somebody else has been at it, or
    the file system compresses."""
    return status.st_blocks * 512 < status.st_size


def has_hole(fd: int, offset: int, length: int) -> bool:
    """Whether a part of these bytes has no place on the disk or in memory: touching a mapping of it on a full tmpfs kills the process."""
    if not length or not hasattr(os, "SEEK_HOLE"):
        return bool(length)
    try:
        return os.lseek(fd, offset, os.SEEK_HOLE) < offset + length
    except OSError:
        return True
