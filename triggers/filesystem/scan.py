"""A look at everything: the files that are there, then those that are remembered and are not there any more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from .entry import Entry, Mark
from .folder import Folder
from .memory import Memory
from .walk import Rules, walk


class Scan:
    """Goes on a chunk at a time. `is_over`: all chunks were taken."""

    def __init__(self, folders: Sequence[Folder], rules: Rules, memory: Memory) -> None:
        self._memory = memory
        self._files = chain.from_iterable(walk(folder, rules) for folder in folders)
        self._matched = 0
        self._begins_empty = not memory.count()
        self._walks = True
        self._last = ""
        self.is_over = False

    def files(self, count: int) -> Iterator[tuple[Entry, Mark | None]]:
        """The next files that are there, and with which mark each has fired. None any more: `missing` comes."""
        entries = list(islice(self._files, count)) if self._walks else []
        known = self._memory.known([entry.path for entry in entries])
        self._matched += len(known)
        if self._walks and len(entries) < count:
            self._walks = False
            # Often nothing is missing, and need not be asked for each.
            self.is_over = self._begins_empty or self._memory.count() == self._matched
        return ((entry, known.get(entry.path)) for entry in entries)

    def remembered(self, count: int) -> list[Entry]:
        """The next files that are remembered, to be looked for. Nothing before all files that are there were given."""
        if self._walks or self.is_over:
            return []
        found = self._memory.after(self._last, count)
        self.is_over = len(found) < count
        self._last = found[-1].path if found else self._last
        return found
