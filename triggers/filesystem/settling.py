"""Settling: what has changed waits until it does not change any more."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

from .entry import Entry


@dataclass(slots=True)
class Waiting:
    """`entry`: as it was seen last; None: it is gone. `since_s`: when it was first seen changed."""

    entry: Entry | None
    since_s: float


class Settling:
    """By path, each with the moment at which to look again. At most `room` of them: who finds more looks for them later."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: dict[str, Waiting] = {}
        self._due: list[tuple[float, int, str]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._waiting)

    def __contains__(self, path: str) -> bool:
        return path in self._waiting

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= self._room

    @property
    def next_s(self) -> float | None:
        """When somebody has to look again."""
        return self._due[0][0] if self._due else None

    def put(self, path: str, waiting: Waiting, due_s: float) -> None:
        """Look at it then. Nothing happens if it waits already."""
        if path not in self._waiting:
            self._waiting[path] = waiting
            heapq.heappush(self._due, (due_s, next(self._numbers), path))

    def due(self, now_s: float, most: int) -> list[tuple[str, Waiting]]:
        """Those to look at now. They do not wait any more."""
        found: list[tuple[str, Waiting]] = []
        while self._due and self._due[0][0] <= now_s and len(found) < most:
            _, _, path = heapq.heappop(self._due)
            found.append((path, self._waiting.pop(path)))
        return found
