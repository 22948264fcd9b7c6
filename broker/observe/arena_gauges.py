"""Gauges of the arena that this process uses: how full it is, whoever filled it. Looked up in the folder whenever somebody asks."""

from __future__ import annotations

from ...schemas.payload_errors import ArenaUnusable
from ..arena.arena import Arena
from ..arena.folder import LIVE, Folder, SegmentFile
from ..payloads.plane import Plane


class ArenaGauges:
    """Everything is None as long as the plane has opened no arena. Raises ArenaUnusable if it cannot be looked into any more."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane

    def used_bytes(self) -> int | None:
        """Size of all segments, spare ones included."""
        arena = self._plane.opened
        return None if arena is None else sum(file.size_bytes for file in _segments(arena))

    def limit_bytes(self) -> int | None:
        arena = self._plane.opened
        return None if arena is None else arena.limits.max_bytes

    def segments(self) -> int | None:
        arena = self._plane.opened
        return None if arena is None else len(_segments(arena))

    def waits(self) -> int | None:
        """How often this process found no room at once."""
        arena = self._plane.opened
        return None if arena is None else arena.counters.waits_for_room

    def full(self) -> float | None:
        """The share of the limit that is taken by what runs hold, or held a moment ago: spare segments are room."""
        arena = self._plane.opened
        if arena is None:
            return None
        return sum(file.size_bytes for file in _segments(arena) if file.state == LIVE) / max(arena.limits.max_bytes, 1)

    def told(self) -> float | str:
        """How full it is for others to know, in hundredths; if nobody can tell, why not."""
        try:
            if self._plane.opened is not None:
                self._plane.opened.must_be_writable()
            return round(self.full() or 0.0, 2)
        except ArenaUnusable as error:
            return str(error)


def _segments(arena: Arena) -> list[SegmentFile]:
    folder = Folder.open(arena.settings.folder, create=False)
    try:
        return folder.segments()
    finally:
        folder.close()
