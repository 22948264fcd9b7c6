"""A disk that is soon full: a tmpfs of a size, which can be filled up by somebody else, and grown.

Guarantees: a write beyond the size gives ENOSPC, as on a full disk. It is unmounted at the end, after a failure too.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .needs import attempt, command, need_root

_CHUNK_BYTES = 1 << 16


class SmallDisk:
    """`path`: where it is mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, leave_bytes: int = 0) -> None:
        """Somebody else takes the room, all but `leave_bytes`."""
        with self._ballast.open("ab", buffering=0) as ballast, contextlib.suppress(OSError):
            while self.free_bytes > leave_bytes:
                ballast.write(bytes(min(_CHUNK_BYTES, self.free_bytes - leave_bytes)))

    def free(self) -> None:
        """And gives it back."""
        self._ballast.unlink(missing_ok=True)

    def forbid_writing(self) -> None:
        """As a disk that was mounted read-only, or turned itself so after an error."""
        command("mount", "-o", "remount,ro", str(self.path))

    def grow(self, size_bytes: int) -> None:
        command("mount", "-o", f"remount,size={size_bytes}", str(self.path))


@contextmanager
def small_disk(path: Path, size_bytes: int) -> Iterator[SmallDisk]:
    """Raises Missing where nothing can be mounted."""
    need_root()
    path.mkdir(parents=True, exist_ok=True)
    command("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(path))
    try:
        yield SmallDisk(path)
    finally:
        if not attempt("umount", str(path)):
            attempt("umount", "--lazy", str(path))
