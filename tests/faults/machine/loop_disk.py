"""A disk that loses power: an ext4 in a file, whose unwritten pages and journal can be thrown away while it is in use.

    with loop_disk(folder) as disk:
        …                       # a server has its data in disk.path
        disk.lose_power()       # from now on every write fails, and nothing that was not flushed will ever be on it
        …                       # kill whoever has files there
        disk.restore()          # mounted again: what was flushed is there, the rest is not

Guarantees: what was fsynced before `lose_power` survives; what was only written does not (FS_IOC_SHUTDOWN with NOLOGFLUSH). It is
unmounted at the end, after a failure too. Does not: tear single sectors, or lie about a flush as some disks do.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .needs import Missing, attempt, command, need_root

FS_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
SIZE_BYTES = 2 << 30
RELEASE_S = 10.0
"""How long whoever was killed may take to let go of its files."""


class LoopDisk:
    """`path`: where it is mounted."""

    def __init__(self, folder: Path, size_bytes: int = SIZE_BYTES) -> None:
        self.path = folder / "disk"
        self._image = folder / "disk.img"
        self._size_bytes = size_bytes
        self.cuts = 0

    def make(self) -> None:
        need_root()
        self.path.mkdir(parents=True)
        with self._image.open("wb") as image:
            image.truncate(self._size_bytes)
        command("mkfs.ext4", "-qF", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(self._image))
        self._mount()

    def flush(self) -> None:
        """Whatever was written so far is on the disk."""
        command("sync", "--file-system", str(self.path))

    def lose_power(self) -> None:
        self.cuts += 1
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(descriptor)

    def fail_beyond(self, bytes: int) -> None:
        """From there on nothing can be read any more that is not in memory."""
        os.truncate(self._image, bytes)

    def restore(self) -> None:
        """Everybody who had files there must have been killed."""
        self._unmount()
        self._mount()

    def remove(self) -> None:
        if os.path.ismount(self.path):
            self._unmount()
        self._image.unlink(missing_ok=True)

    def _mount(self) -> None:
        command("mount", "-o", "loop", str(self._image), str(self.path))

    def _unmount(self) -> None:
        deadline = time.monotonic() + RELEASE_S
        while not attempt("umount", str(self.path)):
            if time.monotonic() > deadline:
                attempt("umount", "--lazy", str(self.path))
                raise Missing(f"{self.path} is still in use {RELEASE_S:.0f} s after its users were killed")
            time.sleep(0.02)  # a process that was killed closes its files a moment after its parent has been told


@contextmanager
def loop_disk(folder: Path, size_bytes: int = SIZE_BYTES) -> Iterator[LoopDisk]:
    """Raises Missing where there are no loop devices, or no root."""
    disk = LoopDisk(folder, size_bytes)
    try:
        disk.make()
        yield disk
    finally:
        with contextlib.suppress(Missing):
            disk.remove()
