"""The lock that says who keeps an arena. It can be taken from a process that was stopped, which would otherwise hold it for ever.

Guarantees: whoever holds it is the keeper until it lets go, dies, or has not shown itself for STOPPED_AFTER_S. Does not: keep a second
keeper away at any price. One that was stopped and goes on finishes its round beside the new one. That is harmless, since nothing is freed
but under the segment's own lock.
"""

from __future__ import annotations

import os
import time

from .folder import KEEPER_LOCK, Folder
from .locks import let_go, own

STOPPED_AFTER_S = 30.0
"""Long against a round. By each one's own clock: it counts from when it saw the holder last, whatever time the file system tells."""


class KeeperLock:
    """The holder shows itself by the file's time. Used by one task at a time."""

    def __init__(self) -> None:
        self._fd = -1
        self._seen: tuple[int, int] | None = None
        self._seen_at_s = 0.0

    def take(self, folder: Folder) -> bool:
        """Now or not at all. Where its holder was stopped the file is removed, and the next one who asks has a new one. Raises
        ArenaFull, ArenaUnusable.
        """
        fd = folder.open_lock(KEEPER_LOCK)
        if own(fd) and os.fstat(fd).st_ino == folder.inode(KEEPER_LOCK):
            self._fd = fd
            self.show()
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
        os.utime(self._fd)

    def let_go(self) -> None:
        """Nothing happens if it is not held."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            let_go(fd)

    def _is_stopped(self, status: os.stat_result) -> bool:
        seen, now_s = (status.st_ino, status.st_mtime_ns), time.monotonic()
        if seen != self._seen:
            self._seen, self._seen_at_s = seen, now_s
        return now_s - self._seen_at_s > STOPPED_AFTER_S
