"""Waiting for room in a full arena: the keeper frees what has ended, so who finds no room tries again for a while.

Waiters      who waits in this process, and somebody who is told
when_room    waits in the event loop; nodes in threads and processes wait in their own way (`workers/handover.py`)
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ...schemas.payload_errors import ArenaFull

Result = TypeVar("Result")

ROOM_WAIT_S = 30.0
"""How long somebody waits for room in the arena; what fails then may be tried again."""
ROOM_LOOK_S = 0.1


class Waiters:
    """Who waits, in any thread, by run. `on_change` is called in that thread, without arguments, whenever `count` changed."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._by_run: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return self._by_run.total()

    def runs(self) -> list[str]:
        """Those that somebody waits for."""
        with self._lock:
            return sorted(self._by_run)

    @contextmanager
    def waiting(self, run: str) -> Iterator[None]:
        """For as long as somebody waits for room for a value of this run."""
        self._add(run, 1)
        try:
            yield
        finally:
            self._add(run, -1)

    def _add(self, run: str, change: int) -> None:
        with self._lock:
            self._by_run[run] += change
            self._by_run = +self._by_run
        self.on_change()


async def when_room(waiters: Waiters, run: str, write: Callable[[], Result]) -> Result:
    """What `write` gives, called in a thread: reserving room in memory takes a third of a second per GiB. `run`: whose value it is.

    Raises what it raises; ArenaFull only after ROOM_WAIT_S.
    """
    try:
        return await asyncio.to_thread(write)
    except ArenaFull:
        deadline_s = time.monotonic() + ROOM_WAIT_S
    with waiters.waiting(run):
        while True:
            await asyncio.sleep(ROOM_LOOK_S)
            try:
                return await asyncio.to_thread(write)
            except ArenaFull:
                if time.monotonic() >= deadline_s:
                    raise
