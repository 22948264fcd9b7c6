"""Which names count: patterns, what to ignore, and what nobody means: hidden and half-written files."""

from __future__ import annotations

from collections.abc import Sequence

from .globs import Globs

TEMPORARY = (".swp", ".swx", ".swo", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", "~")
"""How the names of files end that editors and downloads write before they give them their own."""


class Names:
    """`patterns`: globs of names that count, none: all; one with a `/` is compared with the path below the watched folder. `ignore`: of
    those that do not. `hidden`: whether hidden and temporary ones count too.
    """

    def __init__(self, patterns: Sequence[str], ignore: Sequence[str], hidden: bool) -> None:
        self._patterns = Globs(patterns)
        self._ignore = Globs(ignore)
        self._hidden = hidden
        self._all = not patterns

    def count(self, name: str, below: str) -> bool:
        """Whether a file counts. `name`: its own; `below`: its path below the watched folder."""
        if not self._hidden and (name.startswith(".") or name.endswith(TEMPORARY)):
            return False
        return (self._all or self._patterns.fit(name, below)) and not self._ignore.fit(name, below)

    def enters(self, name: str, below: str) -> bool:
        """Whether a folder in the folder is looked into."""
        return (self._hidden or not name.startswith(".")) and not self._ignore.fit(name, below)
