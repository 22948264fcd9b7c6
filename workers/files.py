"""Files for nodes that want a payload as a `Path`: made when they are wanted, for the time of the attempt.

    Materialise       whoever makes such files
    make_file         by the one of the attempt that runs here
    attempt_files     the one of the attempt that runs here (each attempt has a context of its own: thread or asyncio task)
    AttemptFiles      makes them in a folder of the attempt, and removes them with it

Guarantees: nobody changes the payload through a file, because a file is a copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

from ..broker.arena.locks import share
from ..broker.codecs.path import FileView

NAME_DEFAULT = "payload"
"""Of a file for bytes that were never one."""


class Materialise(Protocol):
    def __call__(self, body: memoryview, name: str) -> Path:
        """A file of that name with these bytes, in a folder where no other file has the name. Raises OSError."""


attempt_files: ContextVar[Materialise | None] = ContextVar("attempt_files", default=None)


class AttemptFiles:
    """Files in `parent`, each read-only and in a folder of its own, so that names are kept. Nothing is made before the first is wanted."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._folder: Path | None = None
        self._lock_fd = -1

    def __call__(self, body: memoryview, name: str) -> Path:
        if self._folder is None:
            if self._parent is not None:
                self._parent.mkdir(mode=0o700, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix="attempt-", dir=self._parent))
            self._lock_fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            share(self._lock_fd)  # says that the attempt lives: the arena's keeper removes folders that nobody holds
        path = Path(tempfile.mkdtemp(dir=self._folder)) / name
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400), "wb", buffering=0) as file:
            while body.nbytes:  # one write may take less than all
                body = body[file.write(body) :]
        return path

    def close(self) -> None:
        """Remove all files. A node that keeps one open can go on reading it."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            os.close(self._lock_fd)
            self._folder = None


@contextlib.contextmanager
def files_for_attempt(parent: Path | None = None) -> Iterator[AttemptFiles]:
    """Files are made in `parent` (None: where the system keeps temporary files) for what runs inside, and removed at the end."""
    files = AttemptFiles(parent)
    token = attempt_files.set(files)
    try:
        yield files
    finally:
        attempt_files.reset(token)
        files.close()


def make_file(body: memoryview, name: str) -> Any:
    """A file of the attempt that runs here; where none runs, what a file's bytes are otherwise."""
    files = attempt_files.get()
    return FileView(name, body) if files is None else files(body, name)
