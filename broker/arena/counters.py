"""What an arena did in this process, as plain numbers since it was opened; approximate while threads write."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ArenaCounters:
    """`copied_bytes` went into the arena, each byte once; `shared_bytes` were handed out as views, without a copy."""

    entries_written: int = 0
    copied_bytes: int = 0
    views_given: int = 0
    shared_bytes: int = 0
    entries_verified: int = 0
    segments_made: int = 0
    segments_reused: int = 0
    segments_enlarged: int = 0
    waits_for_room: int = 0
    """Writes that were refused for want of room; whoever wanted them waits and asks again."""
