"""The watch: which of some attempts have ended in this process since a given moment.

Kept only about attempts that somebody watches, so what nobody suspects costs a look at an empty mapping.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TypeAlias

from ...schemas.records import Activation

Key: TypeAlias = tuple[str, Activation, int]
"""An attempt: its run, its activation, its number."""


class Watch:
    """`watched`: by how many."""

    def __init__(self) -> None:
        self.watched: Counter[Key] = Counter()
        self._ended: dict[Key, int] = {}
        self._count = 0

    def begin(self, keys: Iterable[Key]) -> None:
        self.watched.update(keys)

    def end(self, keys: Iterable[Key]) -> None:
        for key in keys:
            self.watched[key] -= 1
            if not self.watched[key]:
                del self.watched[key]
                self._ended.pop(key, None)

    def note(self, key: Key) -> None:
        """An attempt has ended: its completion is on its way to the disk."""
        if key in self.watched:
            self._count += 1
            self._ended[key] = self._count

    def now(self) -> int:
        """A mark for `ended_since`."""
        return self._count

    def ended_since(self, key: Key, mark: int) -> bool:
        """Whether this attempt, watched since then or longer, has ended after the mark."""
        return self._ended.get(key, 0) > mark
