"""A move: one rename into another folder of the same file system, to a name that nobody has there.

Guarantees: no file that is there is overwritten, whoever moves what at the same time. Where the system can rename without replacing (Linux,
on its usual file systems) nothing lies between before and after: who is killed leaves the file in one of the two places.
Does not, elsewhere: who is killed at the wrong moment leaves an empty file with the name that it was about to take.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
from collections.abc import Iterator
from functools import cache
from pathlib import PurePath
from typing import Any

_NUMBERED = 100
_USUAL_BYTES = 255
"""Of a name, where the file system does not say how long it may be."""
_NOREPLACE = 1
_CANNOT = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)
"""This file system, or a filter of system calls, does not know such a rename. If it is something else, the plain way tells what."""


def move(name: str, folder: int, target: int) -> None:
    """Folders by their descriptors. Raises OSError; FileNotFoundError if the file is not there."""
    most_bytes = os.fpathconf(target, "PC_NAME_MAX")
    for free in _names(name, most_bytes if most_bytes > 0 else _USUAL_BYTES):
        with contextlib.suppress(FileExistsError):
            if not _renamed(name, folder, free, target):
                _claim_and_rename(name, folder, free, target)
            return
    raise FileExistsError(f"no free name like {name}")


def _names(name: str, most_bytes: int) -> Iterator[str]:
    """The name, then others like it. Of a long one the end of its stem gives way to the number."""
    yield name
    stem, ending = PurePath(name).stem, PurePath(name).suffix
    if len(os.fsencode(ending)) > most_bytes // 2:
        stem, ending = name, ""
    for suffix in (*(f".{number}" for number in range(1, _NUMBERED)), f".{secrets.token_hex(8)}"):
        while stem and len(os.fsencode(f"{stem}{suffix}{ending}")) > most_bytes:
            stem = stem[:-1]
        yield f"{stem}{suffix}{ending}"


def _renamed(name: str, folder: int, free: str, target: int) -> bool:
    """False: that cannot be done here. Raises FileExistsError, or another OSError."""
    renameat2 = _renameat2()
    if renameat2 is None:
        return False
    if renameat2(folder, os.fsencode(name), target, os.fsencode(free), _NOREPLACE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _CANNOT:
        return False
    raise OSError(number, os.strerror(number), name)


def _claim_and_rename(name: str, folder: int, free: str, target: int) -> None:
    """The name is taken by an empty file, which the rename replaces. Raises FileExistsError, or another OSError."""
    os.close(os.open(free, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target))
    try:
        os.rename(name, free, src_dir_fd=folder, dst_dir_fd=target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(free, dir_fd=target)
        raise


@cache
def _renameat2() -> Any:
    """None: the system has none."""
    return getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
