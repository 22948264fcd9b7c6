"""An entry: a file as it was seen at one moment. Two entries with the same path and mark are the same happening, wherever they are seen."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import datetime, timedelta
from typing import NamedTuple
from urllib.parse import quote_from_bytes

KEY_PATH_MAX = 256
"""Longer paths stand in keys as their digest: a key travels in headers."""
_EPOCH = datetime(1970, 1, 1)


class Mark(NamedTuple):
    """By which a version of a file is known. Nanoseconds since the epoch, bytes."""

    mtime_ns: int
    size: int
    inode: int


class Entry(NamedTuple):
    """`path`: as the system has it; bytes that are no UTF-8 are surrogates in it. `ctime_ns`: when it was last changed in any way, 0 where
    that is not known any more.
    """

    path: str
    mark: Mark
    ctime_ns: int = 0


def entry_of(path: str, status: os.stat_result) -> Entry | None:
    """None for what is no regular file."""
    if not stat.S_ISREG(status.st_mode):
        return None
    return Entry(path, mark_of(status), status.st_ctime_ns)


def mark_of(status: os.stat_result) -> Mark:
    return Mark(status.st_mtime_ns, status.st_size, status.st_ino)


def key_of(entry: Entry, change: str) -> str:
    """The key of a firing: printable ASCII. That a file is new or changed is one word in it: who begins to watch later cannot tell."""
    raw = os.fsencode(entry.path)
    path = quote_from_bytes(raw, safe="/")
    if len(path) > KEY_PATH_MAX:
        path = hashlib.sha256(raw).hexdigest()
    word = "write" if change in ("create", "modify") else change
    return f"{path}:{entry.mark.mtime_ns}:{entry.mark.size}:{entry.mark.inode}:{word}"


def readable(path: str) -> str:
    r"""A path as text that can be written anywhere: bytes that are no UTF-8 are `\xff` in it."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def time_text(mtime_ns: int) -> str:
    """ISO 8601, UTC, to the microsecond; of a time that no calendar has, the first of all."""
    try:
        moment = _EPOCH + timedelta(microseconds=mtime_ns // 1_000)
    except OverflowError:
        moment = _EPOCH
    return moment.isoformat(timespec="microseconds") + "Z"
