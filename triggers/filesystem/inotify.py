"""Linux's own word of what changes in folders (inotify).

Guarantees: names come as bytes, whatever they are; links are not followed; if the system dropped something it says so.
Does not: know what changes on a network file system from other hosts, or what was there before. Who uses it looks for itself: what it says
are hints.

Not the library `watchfiles` (1.3, tried): it ends with an error at a name that is no UTF-8, and follows links out of the watched folder.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Collection
from dataclasses import dataclass, field

_IN_MODIFY, _IN_ATTRIB, _IN_CLOSE_WRITE = 0x2, 0x4, 0x8
_IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x40, 0x80, 0x100, 0x200
_IN_DELETE_SELF, _IN_MOVE_SELF, _IN_Q_OVERFLOW, _IN_IGNORED = 0x400, 0x800, 0x4000, 0x8000
_IN_ONLYDIR, _IN_ISDIR = 0x01000000, 0x40000000
_WATCHED = (
    _IN_MODIFY | _IN_ATTRIB | _IN_CLOSE_WRITE | _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF | _IN_MOVE_SELF
    | _IN_ONLYDIR
)  # fmt: skip
_HEAD = struct.Struct("iIII")
_END = b"\0"
_READ_BYTES = 256 << 10
_LIMITS = (errno.ENOSPC, errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class NoMoreWatches(Exception):
    """The system allows no further one, or has no inotify."""


@dataclass(slots=True)
class Hints:
    """`files`: paths where something happened; `folders`: ones that came. `lost`: more has happened than is known."""

    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    lost: bool = False


class Inotify:
    """`roots`: the folders that are watched for their own sake. `fd` is readable when there is something to take. Raises NoMoreWatches."""

    def __init__(self, roots: Collection[str]) -> None:
        self._roots = frozenset(roots)
        try:
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.fd = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (AttributeError, OSError):
            raise NoMoreWatches("this system has no inotify") from None
        if self.fd < 0:
            raise NoMoreWatches(f"no further watcher: {os.strerror(ctypes.get_errno())} (fs.inotify.max_user_instances)")
        self._paths: dict[int, str] = {}
        self._rounds: dict[int, int] = {}
        self._round = 0

    def close(self) -> None:
        os.close(self.fd)

    def add(self, folder: int, path: str) -> None:
        """Watch an open folder, which is known by this path from now on. Raises NoMoreWatches; OSError if it is gone."""
        # Through the descriptor: by its name it might be another one by now.
        watch = self._libc.inotify_add_watch(self.fd, f"/proc/self/fd/{folder}".encode(), _WATCHED)
        if watch < 0:
            code = ctypes.get_errno()
            if code in _LIMITS:
                raise NoMoreWatches("the system's limit of watches is reached (fs.inotify.max_user_watches)")
            raise OSError(code, os.strerror(code), path)
        self._paths[watch] = path
        self._rounds[watch] = self._round

    def begin_round(self) -> None:
        """All folders are going to be added again."""
        self._round += 1

    def end_round(self) -> None:
        """Let go of those that were not: they were moved away."""
        for watch in [watch for watch, number in self._rounds.items() if number != self._round]:
            self._libc.inotify_rm_watch(self.fd, watch)
            self._forget(watch)

    def take(self) -> Hints:
        """What has happened since the last call."""
        hints = Hints()
        while True:
            try:
                data = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                return hints
            place = 0
            while place < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, place)
                place += _HEAD.size + length
                if mask & _IN_Q_OVERFLOW:
                    hints.lost = True
                elif mask & _IN_IGNORED:
                    self._forget(watch)
                else:
                    self._hint(hints, watch, mask, data[place - length : place])

    def _hint(self, hints: Hints, watch: int, mask: int, name: bytes) -> None:
        folder = self._paths.get(watch)
        if folder is None:
            return
        if not name:  # the folder itself. Of one in another that one has told already
            hints.lost = hints.lost or (folder in self._roots and bool(mask & (_IN_DELETE_SELF | _IN_MOVE_SELF)))
            return
        path = f"{folder}/{os.fsdecode(name.rstrip(_END))}"
        if not mask & _IN_ISDIR:
            hints.files.add(path)
        elif mask & (_IN_CREATE | _IN_MOVED_TO):
            hints.folders.add(path)
        elif mask & _IN_MOVED_FROM:
            hints.lost = True  # its files went with it, and nobody says which

    def _forget(self, watch: int) -> None:
        self._paths.pop(watch, None)
        self._rounds.pop(watch, None)
