"""Locks on open files. They belong to an open file *description*: two opens of one file exclude each other also inside one process, a lock
ends with the last descriptor of its description, and so also with the death of its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ...schemas.payload_errors import ArenaUnusable
from .folder import Folder

HELD_AT_MOST_S = 10.0
"""Long against what is done under a lock that others wait for: who holds it longer was stopped, and might hold it for ever."""
_PAUSE_S = 0.001


def share(fd: int) -> bool:
    """Take the lock together with others, now or not at all."""
    return _take(fd, fcntl.LOCK_SH)


def own(fd: int) -> bool:
    """Take the lock alone, now or not at all."""
    return _take(fd, fcntl.LOCK_EX)


def release(fd: int) -> None:
    fcntl.flock(fd, fcntl.LOCK_UN)


def let_go(fd: int) -> None:
    """Releases the lock and closes the descriptor. Closing alone would not do: a process that another thread has just forked has the same
    description, and would hold the lock for as long as it lives."""
    release(fd)
    os.close(fd)


def _take(fd: int, how: int) -> bool:
    try:
        fcntl.flock(fd, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holders() -> dict[int, list[int]]:
    """Processes that hold locks, by the inode of the file, as far as the system tells; without taking one, which would disturb others."""
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return {}
    held: dict[int, set[int]] = {}
    for fields in map(str.split, lines):
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[4].isdigit():
            held.setdefault(int(fields[5].rpartition(":")[2]), set()).add(int(fields[4]))
    return {inode: sorted(pids) for inode, pids in held.items()}


@contextlib.contextmanager
def waiting_for(folder: Folder, name: str) -> Iterator[None]:
    """Holds the lock file `name` for as long as the block runs; waits for others that hold it. For moments only.

    Raises ArenaUnusable, also if somebody does not give it back.
    """
    fd = folder.open_lock(name)
    try:
        deadline_s = time.monotonic() + HELD_AT_MOST_S
        while not own(fd):
            if time.monotonic() > deadline_s:
                raise ArenaUnusable(
                    f"the arena {folder.path} cannot be written: a process has held its file `{name}` for {HELD_AT_MOST_S:g} s. "
                    f"Which one: `fuser -v {folder.path / name}`; is it stopped?"
                )
            time.sleep(_PAUSE_S)
        yield
    finally:
        let_go(fd)


@contextlib.contextmanager
def owned(folder: Folder, file: str, inode: int) -> Iterator[int | None]:
    """The file's descriptor, held alone while the block runs. None if somebody is in it, or if the name means another file by now."""
    fd = folder.open_file(file, os.O_RDWR)
    if fd is None:
        yield None
        return
    try:
        # The name is looked at under the lock: whoever renames or removes a segment does so holding the same lock.
        yield fd if own(fd) and os.fstat(fd).st_ino == inode == folder.inode(file) else None
    finally:
        let_go(fd)
