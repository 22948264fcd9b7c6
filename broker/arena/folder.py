"""The arena's folder: opened once, checked, and from then on used through that descriptor, so that nobody can put another in its place.

Guarantees: it belongs to this user, nobody else may look into it, it is no link, and it has an id. Files in it are opened without
following links, and only if they belong to this user, are regular and closed to others (`open_file` answers None for anything else).
Does not: protect from other processes of the same user.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...schemas.payload_errors import ArenaFull, ArenaUnusable
from .layout import HOST_NAME, writer_of

ID, KEEPER_LOCK, ROOM_LOCK, ROOM_WANTED, FILES = "id", "keeper.lock", "room.lock", "room.wanted", "files"
LIVE, FREE, NEW, LOCK = ".seg", ".free", ".new", ".lock"
"""How file names end: a segment; one that was freed and waits to be used again; one whose room is being reserved; a writer's lock."""
_HOST_PART = 20
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO)
"""These say nothing about the file that was to be opened: who took them for "not there" would count values as lost."""


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A file that is called like a segment. `state` is LIVE, FREE or NEW; whether it is a segment is seen when it is opened.
    `changed_s`: when it was last written or renamed, since the epoch.
    """

    name: str
    writer: str
    state: str
    size_bytes: int
    inode: int
    changed_s: float

    @property
    def file(self) -> str:
        return self.name + self.state


class Folder:
    """`path` as it was given; `fd` the open folder; `host` the arena's id."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self.fd = path, fd
        self.host = ""
        status = os.fstat(fd)
        self._place = (status.st_dev, status.st_ino)

    @classmethod
    def open(cls, path: Path, *, create: bool = True, host: str = "") -> Folder:
        """`host`: the id that a new arena gets; "": a new one. Raises ArenaUnusable if the folder cannot be made, or cannot be trusted."""
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):
                    path.mkdir(mode=0o700)
                    path.chmod(0o700)  # whatever the umask has taken away
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _unusable(path, _why_not_opened(path, error)) from None
        folder = cls(path, fd)
        try:
            folder._check()
            folder.host = folder._id(host)
        except OSError as error:
            folder.close()
            raise _unusable(path, f"its file `{ID}` cannot be read or made: {error.strerror}") from None
        except ArenaUnusable:
            folder.close()
            raise
        return folder

    def close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def _check(self) -> None:
        status = os.fstat(self.fd)
        if status.st_uid != os.geteuid():
            raise _unusable(self.path, f"it belongs to user {status.st_uid}, this process runs as user {os.geteuid()}")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            if status.st_mode & stat.S_ISVTX:  # such as /tmp: it is others' too, and closing it to them would be worse than no advice
                own = self.path / "jetfleet-arena"
                raise _unusable(self.path, f"it is a folder for everybody (mode {mode:04o}): name a folder in it, such as {own}")
            raise _unusable(self.path, f"others may look into it (mode {mode:04o}): `chmod 700 {self.path}` after checking what is in it")

    def _id(self, wanted: str) -> str:
        """The arena's id. Made by whoever comes first: a link either puts the whole file there or finds another's."""
        if not self.exists(ID):
            with self._temporary() as (fd, name):
                os.write(fd, f"{wanted or f'{_host_part()}-{secrets.token_hex(6)}'}\n".encode())
                os.fsync(fd)
                with contextlib.suppress(FileExistsError):
                    os.link(name, ID, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        opened = self.open_file(ID)
        if opened is None:
            raise _unusable(self.path, f"its file `{ID}` is no plain file of this user with mode 0600")
        try:
            host = os.read(opened, 200).decode("ascii", "replace").strip()
        finally:
            os.close(opened)
        if not HOST_NAME.fullmatch(host):
            raise _unusable(self.path, f"its file `{ID}` is damaged. If no worker uses the folder, remove it: values in it are lost then")
        return host

    def restore_id(self) -> None:
        """Somebody removed the file alone: who came next would take this for another arena, and its values for those of another host."""
        if not self.exists(ID) and self.is_there():
            self._id(self.host)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[int, str]]:
        name = f"{ID}.{secrets.token_hex(6)}"
        fd = self.create(name)
        try:
            yield fd, name
        finally:
            os.close(fd)
            self.unlink(name)

    def create(self, name: str) -> int:
        """A new file for reading and writing. Raises OSError, FileExistsError if there is one."""
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        os.fchmod(fd, 0o600)  # whatever the umask has taken away
        return fd

    def open_file(self, name: str, flags: int = os.O_RDONLY) -> int | None:
        """A descriptor of a file that can be trusted; None if there is none, or only something else of that name.

        Raises ArenaUnusable if this process cannot open any file now.
        """
        try:  # not blocking: somebody may have put a pipe there
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=self.fd)
        except OSError as error:
            self._must_say_something(error)
            return None
        if is_own_file(fd):
            return fd
        os.close(fd)
        return None

    def open_lock(self, name: str) -> int:
        """A lock file, made if needed. Raises ArenaFull, ArenaUnusable."""
        try:
            with contextlib.suppress(FileExistsError):
                return self.create(name)
            return os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        except OSError as error:
            raise unwritable(self.path, error, f"its file `{name}` cannot be opened") from None

    def inode(self, name: str) -> int | None:
        """Of the file of this name; None if there is none."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_ino
        except OSError:
            return None

    def is_there(self) -> bool:
        """Whether `path` still names this folder."""
        try:
            there = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return self.fd >= 0 and (there.st_dev, there.st_ino) == self._place

    def must_be_writable(self) -> None:
        """Raises ArenaUnusable where nothing can be put into it."""
        if not os.access(".", os.W_OK, dir_fd=self.fd):
            raise _unusable(self.path, "nothing can be written into it: its file system may be mounted read-only")

    def exists(self, name: str) -> bool:
        return self.inode(name) is not None

    def rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def unlink(self, name: str) -> None:
        """Nothing happens if it is gone already."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.fd)

    def segments(self) -> list[SegmentFile]:
        """All files that are called like segments, in the order of their names."""
        found = {file.name: file for name in self.names() if (file := self._segment_file(name))}
        return sorted(found.values(), key=lambda file: file.file)

    def names(self) -> list[str]:
        """Of everything in the folder; empty if it was removed. Raises ArenaUnusable if this process cannot open any file now."""
        try:
            # Opened anew: threads that list through one descriptor share its position, and each would see only a part.
            fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self.fd)
        except OSError as error:
            self._must_say_something(error)
            return []
        try:
            return os.listdir(fd)
        except OSError:
            return []
        finally:
            os.close(fd)

    def _must_say_something(self, error: OSError) -> None:
        """Raises ArenaUnusable for an error that says nothing about the file."""
        if error.errno in _PASSING:
            limit = "; raise the limit (ulimit -n)" if error.errno in (errno.EMFILE, errno.ENFILE) else ""
            raise _unusable(self.path, os.strerror(error.errno).lower() + limit) from None

    def _segment_file(self, file: str) -> SegmentFile | None:
        name, dot, last = file.rpartition(".")
        writer, state = writer_of(name), dot + last
        if writer is None or state not in (LIVE, FREE, NEW):
            return None
        # Somebody may just rename it: who counts how much room is taken must not miss it.
        for ending in (state, NEW, LIVE, FREE, LIVE):
            try:
                status = os.stat(name + ending, dir_fd=self.fd, follow_symlinks=False)
            except OSError:
                continue
            if not stat.S_ISREG(status.st_mode):
                return None
            return SegmentFile(name, writer, ending, status.st_size, status.st_ino, status.st_ctime)
        return None


def is_own_file(fd: int) -> bool:
    """Whether it is a plain file of this user that is closed to others."""
    return is_own(os.fstat(fd))


def is_own(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _why_not_opened(path: Path, error: OSError) -> str:
    # Not by the path itself: in a folder that may not be looked into, it raises where these say no.
    if os.path.islink(path):
        return "it is a symbolic link; name the folder itself"
    if os.path.exists(path) and not os.path.isdir(path):
        return "it is not a folder"
    return (error.strerror or str(error)).lower()


def unwritable(path: Path, error: OSError, what: str = "it cannot be written") -> ArenaFull | ArenaUnusable:
    """What the system said to somebody who wanted to write there."""
    if error.errno in NO_SPACE:
        return ArenaFull(f"the file system of the arena {path} is full ({error.strerror}). Free space on it, or use another: --arena DIR")
    return _unusable(path, f"{what}: {(error.strerror or str(error)).lower()}")


def _unusable(path: Path, why: str) -> ArenaUnusable:
    return ArenaUnusable(f"the arena {path} cannot be used: {why}. Another folder: --arena DIR")


def _host_part() -> str:
    """Some of the host's name, in letters that a subject token may have."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname().split(".")[0]).strip("-")
    return plain[:_HOST_PART].rstrip("-") or "host"
