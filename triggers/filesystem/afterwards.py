"""What becomes of a file after its event: it stays, is removed, or moved to a folder of those that are done, or that nobody took.

Guarantees: what is moved or removed is the version that fired, looked at the moment before; a file that is there by that name already is
never overwritten. Moving is one rename, on one file system. What was in a folder below the watched one gets into such a folder there.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from ...broker.triggers.source import SourceBroken, SourceFailed
from .entry import Entry
from .folder import GONE, Folder, View, open_folder
from .memory import DELETE, MOVE, MOVE_FAILED
from .move import move
from .policy import PathPolicy


class Afterwards:
    """`folders`: where files with this left to do are moved to, by what is to be done and the folder they were in."""

    def __init__(self, folders: Mapping[tuple[str, str], str]) -> None:
        self._folders = folders

    @classmethod
    def prepared(cls, folders: list[Folder], processed: str | None, failed: str | None, policy: PathPolicy) -> Afterwards:
        """Makes the folders that are missing. A relative name is one in the watched folder. Raises SourceBroken, SourceFailed."""
        wanted = [(todo, name) for todo, name in ((MOVE, processed), (MOVE_FAILED, failed)) if name is not None]
        return cls({(todo, folder.path): _made(folder, name, policy) for folder in folders for todo, name in wanted})

    @property
    def places(self) -> frozenset[str]:
        """The folders that files are moved to: what is in them was seen before."""
        return frozenset(self._folders.values())

    def finish(self, view: View, entry: Entry, todo: str) -> bool:
        """Do it. True if the file is not there any more, False if it is, as another version by now. Raises OSError if it cannot be done."""
        try:
            name, folder = view.place(entry.path)
        except OSError as error:
            if error.errno in GONE:
                return True
            raise
        now = view.look(entry.path)
        if now is None or now.mark != entry.mark:
            return now is None
        if todo == DELETE:
            with contextlib.suppress(FileNotFoundError):  # another process that watches did it
                os.unlink(name, dir_fd=folder)
        else:
            self._move(name, folder, self._folders[todo, view.folder.path], view.folder.below(entry.path).rpartition("/")[0])
        return True

    def _move(self, name: str, folder: int, to: str, below: str) -> None:
        target = open_folder(to, below)
        try:
            with contextlib.suppress(FileNotFoundError):
                move(name, folder, target)
        finally:
            os.close(target)


def _made(folder: Folder, name: str, policy: PathPolicy) -> str:
    path = policy.canonical(os.path.join(folder.path, os.path.expanduser(name)))
    if path == folder.path:
        raise SourceBroken(f"files of {path} cannot be moved to the same folder: name another one")
    try:
        os.makedirs(path, exist_ok=True)
        fd = open_folder(path)
        device = os.fstat(fd).st_dev
        os.close(fd)
    except OSError as error:
        raise SourceFailed(f"the folder {path}, to which files are to be moved, cannot be made: {error.strerror}") from None
    if device != folder.device:
        raise SourceBroken(
            f"{path} lies on another file system than {folder.path}, so a file cannot be moved there in one step: name a folder on the same"
        )
    return path
