"""Waiting for room in a full arena: the keeper frees what has ended, so who finds no room tries again for a while.

Waiters      who waits in this process, and somebody who is told
when_room    waits in the event loop; nodes in threads and processes wait in their own way (`workers/handover.py`)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from ...schemas.payload_errors import ArenaFull

Result = TypeVar("Result")

ROOM_WAIT_S = 30.0
"""How long somebody waits for room in the arena; what fails then may be tried again."""
ROOM_LOOK_S = 0.1


class Waiters:
    """A context for whoever waits, in any thread. `on_change` is called in that thread, without arguments, whenever `count` changed."""

    def __init__(self) -> None:
        self.count = 0
        self.on_change: Callable[[], None] = lambda: None
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._add(1)

    def __exit__(self, *_: object) -> None:
        self._add(-1)

    def _add(self, change: int) -> None:
        with self._lock:
            self.count += change
        self.on_change()


async def when_room(waiters: Waiters, write: Callable[[], Result]) -> Result:
    """What `write` gives, called in a thread: reserving room in memory takes a third of a second per GiB.

    Raises what it raises; ArenaFull only after ROOM_WAIT_S.
    """
    try:
        return await asyncio.to_thread(write)
    except ArenaFull:
        deadline_s = time.monotonic() + ROOM_WAIT_S
    with waiters:
        while True:
            await asyncio.sleep(ROOM_LOOK_S)
            try:
                return await asyncio.to_thread(write)
            except ArenaFull:
                if time.monotonic() >= deadline_s:
                    raise
