"""The watcher: says where something happened, so that only that has to be looked at; or that everything has to be, from time to time.

    native   the system tells (`inotify`). A look at everything is a safety net then
    poll     nobody tells: where files come from other hosts, where the system has no such thing or no more of it

Guarantees: what is lost on the way is known to be lost. When the system allows no more watches it goes on by polling, and says so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import structlog

from .folder import Folder
from .inotify import Hints, Inotify, NoMoreWatches

NETWORK = ("nfs", "cifs", "smb", "9p", "fuse", "ceph", "gluster", "lustre", "afs", "vboxsf", "virtiofs", "prl_fs", "gfs", "ocfs")
"""How the names of file systems begin that others may write to without this system hearing of it."""
SAFETY_S = 300.0
_MOUNTS = "/proc/self/mountinfo"
log = structlog.get_logger("jetfleet.triggers")


class Watcher:
    """`mode`: native, poll, or auto. `polls`: why it polls; "": it does not, or was told to."""

    def __init__(self, folders: Sequence[Folder], mode: str, poll_ms: int) -> None:
        self._poll_s = poll_ms / 1_000
        self._inotify: Inotify | None = None
        self._is_native = mode == "native" or (mode == "auto" and not any(map(is_remote, folders)))
        self.polls = "" if self._is_native or mode == "poll" else "its file system is shared with other hosts"
        self._scan_began_s = 0.0
        self._next_scan_s = 0.0
        if self._is_native:
            try:
                self._inotify = Inotify([folder.path for folder in folders])
            except NoMoreWatches as error:
                self._poll(str(error))

    @property
    def is_native(self) -> bool:
        return self._is_native

    @property
    def fd(self) -> int | None:
        """Readable when there are hints."""
        return self._inotify.fd if self._inotify is not None and self._is_native else None

    def close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def hints(self) -> Hints:
        """What happened since the last call."""
        if self._inotify is None or not self._is_native:
            return Hints()
        hints = self._inotify.take()
        if hints.lost:
            self.scan_soon()
        return hints

    # --- looking at everything

    @property
    def next_scan_s(self) -> float:
        """When, as monotonic seconds."""
        return self._next_scan_s

    def scan_soon(self) -> None:
        self._next_scan_s = 0.0

    def scan_begins(self) -> None:
        self._scan_began_s = time.monotonic()
        self._next_scan_s = float("inf")  # unless somebody asks for one meanwhile: then it comes right behind
        if self._inotify is not None:
            self._inotify.begin_round()

    def folder(self, fd: int, path: str) -> None:
        """A folder is about to be listed."""
        if self._inotify is None or not self._is_native:
            return
        try:
            self._inotify.add(fd, path)
        except NoMoreWatches as error:
            self._poll(str(error))

    def scan_ended(self) -> None:
        now = time.monotonic()
        if self._inotify is not None and self._is_native:
            self._inotify.end_round()
        # A look at everything never takes more than half of the time.
        pause_s = max(SAFETY_S if self._is_native else self._poll_s, now - self._scan_began_s)
        self._next_scan_s = min(self._next_scan_s, now + pause_s)

    def _poll(self, why: str) -> None:
        log.warning("a filesystem trigger polls, as the system cannot tell what changes", reason=why)
        self._is_native, self.polls = False, why


def is_remote(folder: Folder) -> bool:
    """Whether others may change files in it without this system hearing of it. False where that cannot be told."""
    device = f"{os.major(folder.device)}:{os.minor(folder.device)}"
    try:
        with open(_MOUNTS, encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, rest = line.partition(" - ")
                if fields.split()[2] == device:
                    return rest.split()[0].startswith(NETWORK)
    except (OSError, IndexError):
        pass
    return False
