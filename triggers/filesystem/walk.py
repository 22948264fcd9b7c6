"""A walk through a watched folder: its files one after another, as they are now, however many there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import structlog

from .entry import Entry, entry_of
from .folder import GONE, Folder, View
from .names import Names

log = structlog.get_logger("jetfleet.triggers")


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a folder is looked at. `without`: folders that are left out, by path. `on_folder`: told of each folder before it is listed,
    with its descriptor and path, so that nothing that happens in it from then on is missed.
    """

    names: Names
    recursive: bool
    without: Collection[str]
    on_folder: Callable[[int, str], None]

    def counts(self, folder: Folder, path: str) -> bool:
        """Whether a file does, by its path."""
        below = folder.below(path)
        name = path.rpartition("/")[2]
        if folder.only:
            return below == folder.only
        if path in self.without or ("/" in below and not self.recursive):
            return False
        return self.names.count(name, below)

    def enters(self, folder: Folder, path: str) -> bool:
        """Whether a folder in the watched one is looked into."""
        if not self.recursive or folder.only or path in self.without:
            return False
        return self.names.enters(path.rpartition("/")[2], folder.below(path))


def walk(folder: Folder, rules: Rules, begin: str = "") -> Iterator[Entry]:
    """The files of a folder that count, from the folder `begin` below it on. One that cannot be read is left out, and the log says so.

    Raises SourceFailed if the watched folder itself is away.
    """
    with folder.view() as view:
        waiting = [begin]
        while waiting:
            below = waiting.pop()
            try:
                yield from _listed(view, rules, below, waiting)
            except OSError as error:
                if error.errno not in GONE:
                    log.warning("a folder cannot be read, its files are left out", path=f"{folder.path}/{below}", reason=str(error))


def _listed(view: View, rules: Rules, below: str, waiting: list[str]) -> Iterator[Entry]:
    folder = view.folder
    path = f"{folder.path.rstrip('/')}/{below}".rstrip("/") or "/"
    fd = view.descriptor(below)
    rules.on_folder(fd, path)
    if folder.only:
        entry = view.look(f"{path}/{folder.only}")
        yield from () if entry is None else (entry,)
        return
    with os.scandir(fd) as found:
        for each in found:
            child = f"{path}/{each.name}"
            if each.is_dir(follow_symlinks=False):
                if rules.enters(folder, child):
                    waiting.append(f"{below}/{each.name}" if below else each.name)
            elif rules.counts(folder, child):
                try:
                    entry = entry_of(child, each.stat(follow_symlinks=False))
                except OSError:  # it went away meanwhile
                    continue
                if entry is not None:
                    yield entry
