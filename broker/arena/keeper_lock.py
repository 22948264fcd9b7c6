"""The lock that says who keeps an arena. It can be taken from a process that was stopped, which would otherwise hold it for ever.

Guarantees: whoever holds it is the keeper until it lets go, dies, or has not shown itself for STOPPED_AFTER_S. Does not: keep a second
keeper away at any price. One that was stopped and goes on finishes its round beside the new one. That is harmless, since nothing is freed
but under the segment's own lock.
"""

from __future__ import annotations

import contextlib
import os
import time

from .folder import KEEPER_LOCK, Folder
from .locks import let_go, own

STOPPED_AFTER_S = 30.0
"""Long against a round. By each one's own clock: it counts from when it saw the holder last, whatever time the file system tells."""

_LONGEST_LIMIT = 20


class KeeperLock:
    """The holder shows itself by the file's time; in the file stands its limit of the arena, for people. Used by one task at a time."""

    def __init__(self) -> None:
        self._fd = -1
        self._seen: tuple[int, int] | None = None
        self._seen_at_s = 0.0

    def take(self, folder: Folder, max_bytes: int | None) -> bool:
        """Now or not at all. Where its holder was stopped the file is removed, and the next one who asks has a new one. `max_bytes`: the
        arena's limit, if its keeper was given one. Raises ArenaFull, ArenaUnusable.
        """
        fd = folder.open_lock(KEEPER_LOCK)
        if own(fd) and os.fstat(fd).st_ino == folder.inode(KEEPER_LOCK):
            self._fd = fd
            with contextlib.suppress(OSError):  # on a full disk a keeper is needed most, and only people ask for the limit
                os.ftruncate(fd, 0)
                os.pwrite(fd, f"{max_bytes or ''}\n".encode(), 0)
            return True
        try:
            if self._is_stopped(os.fstat(fd)) and os.fstat(fd).st_ino == folder.inode(KEEPER_LOCK):
                folder.unlink(KEEPER_LOCK)
        finally:
            os.close(fd)
        return False

    def is_held(self, folder: Folder) -> bool:
        """Whether this process still is the one. Not if somebody took it for stopped."""
        return self._fd >= 0 and os.fstat(self._fd).st_ino == folder.inode(KEEPER_LOCK)

    def show(self) -> None:
        """The holder is at work."""
        with contextlib.suppress(OSError):  # who is taken for stopped is replaced, and that is harmless
            os.utime(self._fd)

    def let_go(self) -> None:
        """Nothing happens if it is not held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            let_go(fd)

    @staticmethod
    def told_limit(folder: Folder) -> int | None:
        """The limit that the keeper was given, or the one before it; None if none was, or nobody can tell."""
        fd = folder.open_file(KEEPER_LOCK)
        if fd is None:
            return None
        try:
            said = os.read(fd, _LONGEST_LIMIT).strip()
        finally:
            os.close(fd)
        return int(said) if said.isdigit() else None

    def _is_stopped(self, status: os.stat_result) -> bool:
        seen, now_s = (status.st_ino, status.st_mtime_ns), time.monotonic()
        if seen != self._seen:
            self._seen, self._seen_at_s = seen, now_s
        return now_s - self._seen_at_s > STOPPED_AFTER_S
