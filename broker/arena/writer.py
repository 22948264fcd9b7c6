"""A process as writer of an arena: a name that nobody else has or ever had, a lock that says it lives, and its segments.

Guarantees: the lock is held from before the first segment until the process ends or `close`. A forked child does not inherit the writer:
`forget` closes what it holds, without releasing locks that it shares with its parent.
"""

from __future__ import annotations

import os
import re
import secrets

from ...schemas.payload_errors import ArenaUnusable
from .counters import ArenaCounters
from .folder import LOCK, Folder, unwritable
from .locks import own, share
from .pool import Pool
from .room import Room

_TRIES = 100
_NAME_PART = 24


class Writer:
    """`name` begins with what the process calls itself, so that people recognize it."""

    def __init__(self, folder: Folder, room: Room, called: str | None, segment_bytes: int, counters: ArenaCounters) -> None:
        self.name, self._lock_fd = _live(folder, called)
        self._folder = folder
        self.pid = os.getpid()
        self.pool = Pool(folder, room, self.name, segment_bytes, counters)

    def forget(self) -> None:
        """In a forked child: lets go of the parent's descriptors and mappings. The locks stay the parent's."""
        self.pool.forget()
        os.close(self._lock_fd)

    def close(self) -> None:
        """From now on the keeper counts this writer as dead. Its segments stay for as long as somebody needs them."""
        self.pool.close()
        os.close(self._lock_fd)


def is_alive(folder: Folder, writer: str) -> bool:
    """Whether the process of that name still runs."""
    fd = folder.open_file(writer + LOCK)
    if fd is None:
        return False
    try:
        return not share(fd)
    finally:
        os.close(fd)


def _live(folder: Folder, called: str | None) -> tuple[str, int]:
    """A new name and its lock. Raises ArenaFull, ArenaUnusable."""
    for _ in range(_TRIES):
        name = _name(called)
        file = name + LOCK
        try:
            fd = folder.create(file)
        except FileExistsError:
            continue
        except OSError as error:
            raise unwritable(folder.path, error) from None
        # Until the lock is taken the keeper may think that its owner is dead, and remove it.
        if own(fd) and folder.inode(file) == os.fstat(fd).st_ino:
            return name, fd
        os.close(fd)
    raise ArenaUnusable(
        f"no lock can be taken in the arena {folder.path}: does its file system have locks (flock)? Another folder: --arena DIR"
    )


def _name(called: str | None) -> str:
    plain = re.sub(r"[^A-Za-z0-9]+", "-", called or "").strip("-")[:_NAME_PART].rstrip("-")
    return f"{plain or 'p' + str(os.getpid())}-{secrets.token_hex(6)}"
