"""Waiting for room in a full arena, in the event loop: the keeper frees what has ended, so who finds no room tries again for a while.

Nodes in threads and processes wait in the same way, without the loop (`workers/handover.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ...schemas.payload_errors import ArenaFull

if TYPE_CHECKING:
    from .plane import Plane

Result = TypeVar("Result")

ROOM_WAIT_S = 30.0
"""How long somebody waits for room in the arena; what fails then may be tried again."""
ROOM_LOOK_S = 0.1


async def when_room(plane: Plane, write: Callable[[], Result]) -> Result:
    """What `write` gives. Raises what it raises; ArenaFull after ROOM_WAIT_S. Meanwhile the plane counts one that waits."""
    deadline_s = time.monotonic() + ROOM_WAIT_S
    while True:
        try:
            return write()
        except ArenaFull:
            if time.monotonic() >= deadline_s:
                raise
        plane.waiting += 1
        try:
            await asyncio.sleep(ROOM_LOOK_S)
        finally:
            plane.waiting -= 1
