"""What processes leave behind in an arena's folder, other than segments in use: removed by the keeper.

<writer>-<n>.free   of a living writer: when it did not use it again for SPARE_FOR_S; of a dead one: at once
<writer>-<n>.new    whose writer died while it reserved the room
<writer>.lock       whose writer died, and has no files any more
files/*             folders of attempts that ended without cleaning up: nobody holds their lock
id.*                from making the arena's id
"""

from __future__ import annotations

import os
import shutil
import time

from .folder import FILES, FREE, ID, KEEPER_LOCK, LOCK, NEW, ROOM_LOCK, Folder
from .locks import own, owned
from .room import remove
from .writer import is_alive

SPARE_FOR_S = 10.0
"""Memory that nobody writes to is given back after this."""
FORGOTTEN_AFTER_S = 60.0
"""Files are not touched before: whoever makes one needs a moment until it holds the lock."""


def remove_spares(folder: Folder) -> tuple[int, int]:
    """Segments that nobody is going to use again: how many were removed, and their bytes."""
    count = size = 0
    for file in folder.segments():
        idle = time.time() - file.changed_s > SPARE_FOR_S
        unused = file.state == FREE and (idle or not is_alive(folder, file.writer))
        orphaned = file.state == NEW and not is_alive(folder, file.writer)
        if (unused or orphaned) and remove(folder, file):
            count, size = count + 1, size + file.size_bytes
    return count, size


def remove_locks(folder: Folder) -> None:
    """Of writers that died and left no segments."""
    writers = {file.writer for file in folder.segments()}
    for name in folder.names():
        writer = name.removesuffix(LOCK)
        if name.endswith(LOCK) and name not in (KEEPER_LOCK, ROOM_LOCK) and writer not in writers and not is_alive(folder, writer):
            # Under the lock: a writer that has just made the file sees that it is gone, and takes another name.
            with owned(folder, name, folder.inode(name) or 0) as fd:
                if fd is not None:
                    folder.unlink(name)


def remove_files(folder: Folder) -> int:
    """Files that nodes wanted, of attempts that did not come to remove them. How many folders were removed."""
    removed = 0
    try:
        with os.scandir(folder.path / FILES) as found:
            left = [entry for entry in found if entry.is_dir(follow_symlinks=False) and _is_old(entry.stat(follow_symlinks=False))]
    except OSError:
        return 0
    for entry in left:
        if _nobody_holds(entry.path):
            shutil.rmtree(entry.path, ignore_errors=True)
            removed += 1
    return removed


def remove_unfinished_ids(folder: Folder) -> None:
    for name in folder.names():
        if name.startswith(f"{ID}."):
            try:
                if _is_old(os.stat(name, dir_fd=folder.fd, follow_symlinks=False)):
                    folder.unlink(name)
            except OSError:
                continue


def _is_old(status: os.stat_result) -> bool:
    return time.time() - status.st_mtime > FORGOTTEN_AFTER_S


def _nobody_holds(path: str) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return own(fd)
    finally:
        os.close(fd)
