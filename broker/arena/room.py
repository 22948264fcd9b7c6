"""How much the segments of an arena take, over all its processes, and who may take more.

Every segment is reserved here: `room.lock` is held while the sizes of all files are added up and the new size is entered, so the sum
never exceeds the limit. Pages are reserved by `posix_fallocate` before anybody maps them: a hole on a full disk is SIGBUS, not an error.
Freed segments that wait for their writer are removed when there is no room otherwise, whoever they belong to.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import sys
import time
from collections.abc import Callable

from ...schemas.payload_errors import ArenaFull, ArenaUnusable, RunTooLarge
from ...schemas.sizes import size_text
from .folder import FREE, NEW, NO_SPACE, ROOM_LOCK, ROOM_WANTED, Folder, SegmentFile, unwritable
from .locks import owned, waiting_for

_ZEROS = bytes(1 << 20)
_FLAGS = struct.Struct("l")
_GET_FLAGS, _SET_FLAGS, _NO_COPY_ON_WRITE = 0x80086601, 0x40086602, 0x00800000
"""Linux's FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_NOCOW_FL."""
_WANTED_FOR_S = 5.0


class Room:
    """`holders` says in words whose values fill the arena."""

    def __init__(self, folder: Folder, max_bytes: int, holders: Callable[[], str]) -> None:
        self._folder, self._holders = folder, holders
        self.max_bytes = max_bytes

    def reserve(self, name: str, size: int) -> int:
        """A new file `<name>.new` of `size` bytes that are really there, and its descriptor.

        Raises ArenaFull, RunTooLarge if it is larger than the whole arena may be, ArenaUnusable.
        """
        self._must_fit(size)
        with waiting_for(self._folder, ROOM_LOCK):
            self._make_room(size)
            fd = self._created(name + NEW, size)
        try:
            self._allocate(fd, 0, size)
        except BaseException:
            self._folder.unlink(name + NEW)
            os.close(fd)
            raise
        return fd

    def enlarge(self, fd: int, old: int, new: int) -> None:
        """Makes a segment larger that the caller is in. Raises as `reserve`; then its size is what it was."""
        self._must_fit(new)
        with waiting_for(self._folder, ROOM_LOCK):
            self._make_room(new - old)
            self._allocate(fd, old, new - old)

    def _created(self, file: str, size: int) -> int:
        fd = -1
        try:
            fd = self._folder.create(file)
            _write_in_place(fd)
            os.ftruncate(fd, size)  # counts from now on; not mapped before it is allocated
        except OSError as error:
            if fd >= 0:
                self._folder.unlink(file)
                os.close(fd)
            raise self.refused(error, size) from None
        return fd

    def _allocate(self, fd: int, offset: int, length: int) -> None:
        try:
            try:
                _allocate(fd, offset, length)
            except OSError as error:
                if error.errno not in NO_SPACE or not self._drop_free(length):
                    raise
                _allocate(fd, offset, length)
        except OSError as error:
            raise self.refused(error, length) from None

    def _must_fit(self, size: int) -> None:
        """Waiting for room would not help."""
        if size > self.max_bytes:
            raise RunTooLarge(
                f"one value alone does not fit into the arena {self._folder.path}: it has come to {size_text(size)} with what stands "
                f"around it, and {size_text(self.max_bytes)} is the arena's limit. "
                "Give it more with --arena-max (and --arena-run-max), or let the node hand on less at once"
            )

    def _make_room(self, size: int) -> None:
        files = self._folder.segments()
        missing = sum(file.size_bytes for file in files) + size - self.max_bytes
        if missing > 0 and self._drop_free(missing) < missing:
            ask_for_room(self._folder)
            raise ArenaFull(
                f"the arena {self._folder.path} has no room for {size_text(size)} more: {size_text(self.max_bytes)} is its limit. "
                f"{self._holders()} It is freed when runs have ended; more room: --arena-max"
            )

    def _drop_free(self, missing: int) -> int:
        """Removes freed segments until `missing` bytes are there, or all are removed. How many bytes there are then."""
        found = 0
        for file in self._folder.segments():
            if found >= missing:
                break
            if file.state == FREE and remove(self._folder, file):
                found += file.size_bytes
        return found

    def refused(self, error: OSError, size: int) -> ArenaFull | ArenaUnusable:
        """What the system said to somebody who wanted to write so many bytes."""
        if error.errno in NO_SPACE:
            ask_for_room(self._folder)
            return ArenaFull(
                f"the file system of the arena {self._folder.path} has no room for {size_text(size)} more ({error.strerror}). "
                f"{self._holders()} Free space on it, or use another folder: --arena DIR"
            )
        return unwritable(self._folder.path, error)


def ask_for_room(folder: Folder) -> None:
    """Lets the keeper know that somebody waits. Needs no room itself: only the file's time says it."""
    with contextlib.suppress(OSError):
        fd = os.open(ROOM_WANTED, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder.fd)
        os.close(fd)
        os.utime(ROOM_WANTED, dir_fd=folder.fd)


def is_wanted(folder: Folder) -> bool:
    """Whether somebody found the arena full a moment ago."""
    try:
        asked_s = os.stat(ROOM_WANTED, dir_fd=folder.fd, follow_symlinks=False).st_mtime
    except OSError:
        return False
    return abs(time.time() - asked_s) < _WANTED_FOR_S  # a clock that was set back must not make it last until then


def remove(folder: Folder, file: SegmentFile) -> bool:
    """Removes a segment that nobody is in; its memory is given back at once. False if somebody is in it.

    A freed segment may still be mapped by its writer. It looks for the segment's name before it touches that memory (see `segment`), so
    the file can be emptied once it has no name.
    """
    with owned(folder, file.file, file.inode) as fd:
        if fd is None:
            return False
        folder.unlink(file.file)
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
    return True


def _write_in_place(fd: int) -> None:
    """Of an empty file. Btrfs writes elsewhere what is written for the second time: what was reserved would not help on a full disk."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # other file systems know no such flag, and do it anyway
            (flags,) = _FLAGS.unpack(fcntl.ioctl(fd, _GET_FLAGS, bytes(_FLAGS.size)))
            fcntl.ioctl(fd, _SET_FLAGS, _FLAGS.pack(flags | _NO_COPY_ON_WRITE))


def _allocate(fd: int, offset: int, length: int) -> None:
    """Reserves blocks for a part of a file. Raises OSError."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, offset, length)
        return
    for start in range(offset, offset + length, len(_ZEROS)):  # macOS
        wanted = min(len(_ZEROS), offset + length - start)
        if os.pwrite(fd, memoryview(_ZEROS)[:wanted], start) < wanted:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
