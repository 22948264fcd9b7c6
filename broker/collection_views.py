"""Collection views: events that are gathered until they become one run, as the owner of their collector tells of it."""

from __future__ import annotations

import msgspec

SHOWN_MAX = 1_000
"""Collections that one partition lists, those that have waited longest first."""


class CollectionView(msgspec.Struct, array_like=True, frozen=True):
    """`run`: the id that its run has, or will have. `mode`: debounce or batch. Times in ms since the epoch.

    `due`: when it closes if nothing more comes. `closed_at`: since when it waits for room; 0 while it takes events in.
    """

    collector: str
    flow: str
    run: str
    mode: str
    count: int
    first_at: int
    last_at: int
    due: int
    closed_at: int = 0
