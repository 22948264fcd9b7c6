"""A watched folder: opened by its canonical path, and everything in it through what was opened, so that no link leads out of it.

Guarantees: no component is a link at the moment when it is opened, from the root of the file system on. So what the policy allowed is what
is read, moved and removed, whoever swaps names meanwhile. Links in the folder are not followed at all: where they lead to files in it,
those are seen by their own names. A folder that is away or was exchanged is SourceFailed, not a folder whose files were removed.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass

from ...broker.triggers.source import SourceFailed
from .entry import Entry, entry_of

_PATH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""To go through a folder one need not be allowed to list it."""
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)
"""There is no such file in the folder (any more). Anything else says nothing about whether it is there."""


@dataclass(frozen=True, slots=True)
class Folder:
    """`path`: canonical. `only`: the one name that is watched in it; "": all. `device`, `inode`: of the folder itself when it was found."""

    path: str
    only: str
    device: int
    inode: int

    @classmethod
    def at(cls, path: str) -> Folder:
        """The folder at a canonical path; of a file, the one that it is in. Raises SourceFailed if there is none."""
        try:
            fd = open_folder(path)
        except OSError as error:
            if error.errno == errno.ENOTDIR and os.path.isfile(path):
                above = cls.at(os.path.dirname(path))
                return cls(above.path, os.path.basename(path), above.device, above.inode)
            if error.errno == errno.ENOENT:
                raise SourceFailed(f"waits for {path}, which is not there yet") from None
            raise SourceFailed(f"{path} cannot be opened: {error.strerror}") from None
        try:
            status = os.fstat(fd)
            return cls(path, "", status.st_dev, status.st_ino)
        finally:
            os.close(fd)

    def below(self, path: str) -> str:
        """The part of a path in this folder that is below it."""
        return path[len(self.path.rstrip("/")) + 1 :]

    def has(self, path: str) -> bool:
        return path.startswith(self.path.rstrip("/") + "/")

    @contextlib.contextmanager
    def view(self) -> Iterator[View]:
        """The folder, open. Raises SourceFailed if it is away, or another one than it was."""
        try:
            fd = open_folder(self.path)
        except OSError as error:
            raise SourceFailed(f"{self.path} cannot be opened any more: {error.strerror}") from None
        view = View(self, fd)
        try:
            status = os.fstat(fd)
            if (status.st_dev, status.st_ino) != (self.device, self.inode):
                raise SourceFailed(f"{self.path} is another folder than it was: looks at it anew")
            yield view
        finally:
            view.close()


class View:
    """An open folder. It remembers the folder below it that was used last: who looks at many files of one folder opens it once."""

    def __init__(self, folder: Folder, fd: int) -> None:
        self.folder = folder
        self._fd = fd
        self._last: tuple[str, int] = ("", fd)

    def close(self) -> None:
        self._use("", self._fd)
        os.close(self._fd)

    def descriptor(self, below: str) -> int:
        """Of a folder below this one, "" for itself, open for listing until the next call. Raises OSError."""
        if self._last[0] != below:
            self._use(below, _descended(self._fd, below) if below else self._fd)
        return self._last[1]

    def place(self, path: str) -> tuple[str, int]:
        """The name of a file, and the descriptor of the folder that it is in. Raises OSError."""
        above, _, name = self.folder.below(path).rpartition("/")
        return name, self.descriptor(above)

    def look(self, path: str) -> Entry | None:
        """The file as it is now; None if there is none at the path, or something else. Raises OSError if that cannot be told."""
        try:
            name, fd = self.place(path)
            return entry_of(path, os.stat(name, dir_fd=fd, follow_symlinks=False))
        except OSError as error:
            if error.errno in GONE:
                return None
            raise

    def _use(self, below: str, fd: int) -> None:
        before, self._last = self._last[1], (below, fd)
        if before != self._fd:
            os.close(before)


def open_folder(path: str, below: str = "") -> int:
    """A descriptor of the folder at a canonical path, no component of which may be a link; or of one below it, which is made if it is not
    there. Raises OSError.
    """
    root = os.open("/", _PATH)
    try:
        folder = _descended(root, path.strip("/"))
    finally:
        os.close(root)
    if not below:
        return folder
    try:
        return _descended(folder, below, makes=True)
    finally:
        os.close(folder)


def _descended(fd: int, below: str, makes: bool = False) -> int:
    """A folder below an open one. `makes`: those that are missing."""
    *through, last = below.split("/") if below else ["."]
    here = fd
    try:
        for name in through:
            before, here = here, _entered(here, name, _PATH, makes)
            if before != fd:
                os.close(before)
        return _entered(here, last, _LIST, makes)
    finally:
        if here != fd:
            os.close(here)


def _entered(fd: int, name: str, flags: int, makes: bool) -> int:
    if makes:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, dir_fd=fd)
    return os.open(name, flags, dir_fd=fd)
