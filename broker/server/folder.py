"""The folder that a server keeps its data in: made, locked, measured.

    lock            who has it: held by flock, says a process id
    server.conf     the configuration, made anew at each start
    jetstream/      the store

Guarantees: two servers never work in one folder. The lock is held by an open file that the server inherits, so it lasts until both the
process that started the server and the server itself are gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from ..fleet.process import start_ticks
from .errors import DataInUse, DataNotWritable, DiskTooSmall, TooFewFiles
from .settings import MIB, STORE_BYTES_MIN

RESERVE_BYTES = 256 * MIB
"""Left on the disk for everybody else. A store that hits the end of the disk, not its own limit, stops for good."""
FILES_MIN = 512
"""Open files that a deployment needs at least: a few per stream and consumer, one per connection."""
_LEFT_BEHIND_TIMEOUT_S = 15.0
_POLL_S = 0.02


class Folder:
    """A server's folder. Nothing happens before `prepare`."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self.config_file = self.path / "server.conf"
        self.store = self.path / "jetstream"
        self.lock_fd: int | None = None

    @classmethod
    def temporary(cls) -> Folder:
        """A new one, for nobody else. Raises DataNotWritable."""
        try:
            return cls(Path(tempfile.mkdtemp(prefix="jetfleet-")))
        except OSError as error:
            raise DataNotWritable(f"no temporary folder can be made: {error.strerror}; name a folder with --data") from error

    async def prepare(self) -> None:
        """Make the folder if need be, and lock it. Raises DataNotWritable, DataInUse."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock_fd = await self._lock()
        except OSError as error:
            reason = "it is no folder" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
            raise DataNotWritable(f"{self.path} cannot hold the server's data: {reason}; choose another folder with --data") from error

    def release(self) -> None:
        """Give up the lock. The server, if it still runs, keeps its own hold."""
        if self.lock_fd is not None:
            os.close(self.lock_fd)
            self.lock_fd = None

    def write_config(self, text: str) -> None:
        """Readable by nobody else: it may hold a password. Raises DataNotWritable."""
        try:
            descriptor = os.open(self.config_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
        except OSError as error:
            raise DataNotWritable(f"{self.config_file} cannot be written: {error.strerror}") from error

    def room_bytes(self, most: int | None) -> int:
        """What the store may grow to, from what it holds, what the disk has left, and the bound `most`. Raises DiskTooSmall."""
        free = shutil.disk_usage(_existing(self.path)).free
        room = free - RESERVE_BYTES + _used_bytes(self.store)
        if room < STORE_BYTES_MIN:
            raise DiskTooSmall(
                f"the disk of {self.path} has {free // MIB} MiB left, and {(STORE_BYTES_MIN + RESERVE_BYTES) // MIB} MiB are needed; "
                "make room, or choose a folder on another disk with --data"
            )
        return min(room, most) if most is not None else room

    async def _lock(self) -> int:
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await self._acquire(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return descriptor

    async def _acquire(self, descriptor: int) -> None:
        """Whose holder lives is refused at once; a server whose parent is gone is on its way out, and worth waiting for."""
        deadline = time.monotonic() + _LEFT_BEHIND_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                holder = _holder(descriptor)
                if _lives(holder) or time.monotonic() > deadline:
                    raise self._in_use(holder) from None
            await asyncio.sleep(_POLL_S)

    def _in_use(self, holder: int | None) -> DataInUse:
        pid = holder if _lives(holder) else _read_pid(self.path / "server.pid")
        who = f"process {pid}" if pid else "another process"
        return DataInUse(f"{self.path} is in use by {who}; connect to that server, end it, or choose another folder with --data", pid)


def check_open_files() -> None:
    """Raises TooFewFiles. The hard limit counts: the server raises its own up to there."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < FILES_MIN:
        raise TooFewFiles(f"a process may open {hard} files here (ulimit -Hn), and the server needs {FILES_MIN}; raise the limit")


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it: a folder that is yet to be made will be on the same disk."""
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _used_bytes(store: Path) -> int:
    return sum(_size(Path(folder, name)) for folder, _, names in os.walk(store) for name in names)


def _size(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except FileNotFoundError:
        return 0


def _holder(descriptor: int) -> int | None:
    text = os.pread(descriptor, 32, 0).strip()
    return int(text) if text.isdigit() else None


def _read_pid(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _lives(pid: int | None) -> bool:
    return pid is not None and start_ticks(pid) is not None
