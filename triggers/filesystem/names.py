"""Which names count: patterns, what to ignore, and what nobody means: hidden and half-written files."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence

TEMPORARY = (".swp", ".swx", ".swo", ".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", "~")
"""How the names of files end that editors and downloads write before they give them their own."""


class Names:
    """`patterns`: globs of names that count, none: all; one with a `/` is compared with the path below the watched folder. `ignore`: of
    those that do not. `hidden`: whether hidden and temporary ones count too.
    """

    def __init__(self, patterns: Sequence[str], ignore: Sequence[str], hidden: bool) -> None:
        self._patterns = _Globs(patterns)
        self._ignore = _Globs(ignore)
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


class _Globs:
    def __init__(self, globs: Iterable[str]) -> None:
        globs = list(globs)
        self._names = _compiled([glob for glob in globs if "/" not in glob])
        self._paths = _compiled([glob.lstrip("/") for glob in globs if "/" in glob])

    def fit(self, name: str, below: str) -> bool:
        return (self._names is not None and self._names.match(name) is not None) or (
            self._paths is not None and self._paths.match(below) is not None
        )


def _compiled(globs: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(map(fnmatch.translate, globs))) if globs else None
