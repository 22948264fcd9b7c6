"""One segment as its writer sees it: a file that entries are appended to, and mapped memory once it is used again.

Who may do what is decided by two things together: the lock on the file, and its name.

    <writer>-<n>.seg    readers map it and its writer appends, each holding the lock *shared*
    <writer>-<n>.free   freed: nothing in it is needed. Its writer may use it again, anybody may remove it

Renaming (the keeper frees, the writer uses again), raising the generation and removing happen only while holding the lock *alone*. So:

1. An entry is not freed that somebody may still need. The keeper has the lock alone when it looks at the entries for the last time and
   renames the file. An append that came before is seen then; one that comes after finds the name gone (`begin`) and goes elsewhere.
2. A reader never sees bytes of another generation. It holds the lock shared for as long as it maps the file, and raising the generation
   takes the lock alone: what the header said when the reader mapped it stays true until it unmaps.
3. Two processes never append to one segment. Its name holds that of its writer, which is new with every process and is never used again;
   a forked child writes under a new name (see `writer`).

New pages are written through the file: the kernel fills them as they come, where a mapping has each of them cleared and faulted in before
it is overwritten. Pages that were used before are there already, and a mapping writes them at the speed of memory.

A writer that dies leaves at worst a body without header. Locks belong to open file descriptions, and a mapping keeps the one it was made
from: the memory is therefore mapped through a second one, which never holds the lock.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import sys
from collections.abc import Sequence

from ...schemas.payload_errors import ArenaUnusable
from .copying import copy_into, write_file
from .folder import FREE, LIVE, NEW, Folder, is_own
from .layout import HEADER_BLOCK_BYTES, NO_ENTRY, SegmentHeader, aligned, parse_segment
from .locks import own, release, share

_FIRST_GENERATION = 1
_POPULATE_WRITE = 23
"""Linux 5.14's MADV_POPULATE_WRITE, which `mmap` has no name for yet."""
_WARMED_AT_ONCE_BYTES = 2 << 20
"""About a millisecond's work, during which other threads wait."""


class Segment:
    """`position`: where the next entry begins. Used by one thread at a time, between `begin` and `end`."""

    def __init__(self, folder: Folder, name: str, fd: int, size_bytes: int, generation: int) -> None:
        self._folder, self._fd = folder, fd
        self.name, self.size_bytes, self.generation = name, size_bytes, generation
        self.position = HEADER_BLOCK_BYTES
        self._header = SegmentHeader(generation, size_bytes).packed()
        self._inode = os.fstat(fd).st_ino
        self._map: mmap.mmap | None = None
        self._warm_to = 0

    @classmethod
    def make(cls, folder: Folder, name: str, fd: int, size_bytes: int) -> Segment:
        """From a file `<name>.new` whose room is reserved. It is begun already. Raises OSError."""
        try:
            segment = cls(folder, name, fd, size_bytes, _FIRST_GENERATION)
            segment._start_generation(_FIRST_GENERATION)
            share(fd)
            folder.rename(name + NEW, name + LIVE)
        except OSError:
            os.close(fd)
            folder.unlink(name + NEW)
            raise
        return segment

    @classmethod
    def freed(cls, folder: Folder, name: str) -> Segment | None:
        """One of this writer's that was freed, and that it does not have open any more; None if it is gone."""
        fd = folder.open_file(name + FREE, os.O_RDWR)
        if fd is None:
            return None
        header = parse_segment(os.pread(fd, HEADER_BLOCK_BYTES, 0))
        size = os.fstat(fd).st_size
        if header is None or size < header.size_bytes:
            os.close(fd)
            return None
        return cls(folder, name, fd, size, header.generation)

    @property
    def room(self) -> int:
        return self.size_bytes - self.position

    @property
    def fd(self) -> int:
        """For writing without the mapping, between `begin` and `end`."""
        return self._fd

    def write(self, parts: Sequence[memoryview], offset: int) -> int:
        """Copies the parts, one behind the other; their CRC-32. Only between `begin` and `end`: at other times the pages may be gone.

        Raises ArenaUnusable.
        """
        if self.generation > _FIRST_GENERATION:
            return copy_into(self._memory(), offset, parts, self._warm)
        try:
            return write_file(self._fd, offset, parts)
        except OSError as error:
            raise self._unwritable(error) from None

    def _memory(self) -> memoryview:
        """All bytes of the file."""
        if self._map is not None and len(self._map) < self.size_bytes:
            self._unmap()
        if self._map is None:
            self._map = self._mapped()
        return memoryview(self._map)

    def _warm(self, end: int) -> None:
        """Brings pages up to `end` into the mapping: a batch at once costs a tenth of what writing to one after the other does.

        Raises ArenaUnusable if there is no room for them, which could otherwise only be seen by dying of it.
        """
        if end <= self._warm_to or self._map is None:
            return
        warm_to = min(max(end, self._warm_to + _WARMED_AT_ONCE_BYTES), self.size_bytes)
        warm_to = min(aligned(warm_to, mmap.PAGESIZE), self.size_bytes)
        try:
            if sys.platform == "linux":
                self._map.madvise(_POPULATE_WRITE, self._warm_to, warm_to - self._warm_to)
        except OSError as error:
            if error.errno != errno.EINVAL:  # an older kernel: pages come one by one
                raise self._unwritable(error) from None
            warm_to = self.size_bytes
        self._warm_to = warm_to - warm_to % mmap.PAGESIZE

    def begin(self) -> bool:
        """Keeps the segment from being freed until `end`. False if it was freed already or is just being, or if somebody damaged it: what
        is written into it then, no reader would take.
        """
        if not share(self._fd):
            return False
        if self._folder.inode(self.name + LIVE) == self._inode and self._is_readable():
            return True
        release(self._fd)
        return False

    def end(self) -> None:
        release(self._fd)

    def use_again(self) -> bool:
        """Takes a freed segment back: empty, of the next generation, and begun. False if it is gone or somebody is in it."""
        if not own(self._fd):
            return False
        if self._folder.inode(self.name + FREE) != self._inode or not self._is_readable():
            release(self._fd)
            return False
        try:
            self._start_generation(self.generation + 1)
            self._folder.rename(self.name + FREE, self.name + LIVE)
        except OSError:  # a disk that fails: this one is of no use any more, another may be
            release(self._fd)
            return False
        return self.begin()  # in between the keeper may have freed it again

    def commit(self, head: bytes, start: int, end: int) -> None:
        """The entry becomes one: its header is written, and behind it stands that no other follows."""
        if end + len(NO_ENTRY) <= self.size_bytes:
            self.put(NO_ENTRY, end)
        self.put(head, start)
        self.position = end

    def put(self, data: bytes, offset: int) -> None:
        """A few bytes into the file."""
        if self._map is not None and offset + len(data) <= len(self._map):
            self._map[offset : offset + len(data)] = data
        else:  # who writes without the mapping, as streams do, needs none for this either
            os.pwrite(self._fd, data, offset)

    def enlarged(self, size_bytes: int) -> None:
        """The file has so many bytes now."""
        self.size_bytes = size_bytes
        self._put_header()

    def close(self) -> None:
        self._unmap()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _is_readable(self) -> bool:
        """Whether readers would trust the file, and find in its header what was written there."""
        status = os.fstat(self._fd)
        if status.st_size < self.size_bytes or not is_own(status):
            return False
        return os.pread(self._fd, len(self._header), 0) == self._header

    def _start_generation(self, generation: int) -> None:
        os.pwrite(self._fd, NO_ENTRY, HEADER_BLOCK_BYTES)
        self.generation, self.position = generation, HEADER_BLOCK_BYTES
        self._put_header()

    def _put_header(self) -> None:
        self._header = SegmentHeader(self.generation, self.size_bytes).packed()
        os.pwrite(self._fd, self._header, 0)

    def _mapped(self) -> mmap.mmap:
        fd = self._folder.open_file(self.name + LIVE, os.O_RDWR)
        if fd is None:
            raise ArenaUnusable(f"the segment {self.name} of the arena {self._folder.path} was removed while it was written")
        try:
            if os.fstat(fd).st_ino != self._inode:
                raise ArenaUnusable(f"the segment {self.name} of the arena {self._folder.path} was replaced while it was written")
            return mmap.mmap(fd, self.size_bytes)
        except (OSError, ValueError) as error:
            raise ArenaUnusable(f"the segment {self.name} of the arena {self._folder.path} cannot be mapped: {error}") from None
        finally:
            os.close(fd)

    def _unwritable(self, error: OSError) -> ArenaUnusable:
        return ArenaUnusable(f"the segment {self.name} of the arena {self._folder.path} cannot be written: {error}")

    def _unmap(self) -> None:
        mapped, self._map, self._warm_to = self._map, None, 0
        if mapped is not None:
            with contextlib.suppress(BufferError):  # unmapped with the last view of it
                mapped.close()
