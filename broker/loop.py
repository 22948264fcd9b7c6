"""The event loop of our own processes: uvloop's where it is installed (`pip install jetfleet[speed]`), else asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .garbage import collect_rarely

Result = TypeVar("Result")
FILES_OF_A_LOOP = 12
"""File descriptors that a loop needs before it can say anything: it has taken 9 in libuv 1.51."""


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the work in a loop of its own, as `asyncio.run` does."""
    collect_rarely()
    with contextlib.closing(work), asyncio.Runner(loop_factory=loop_factory()) as runner:  # closed also if there is no loop to be had
        return runner.run(work)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; None: asyncio's default."""
    try:
        import uvloop
    except ImportError:
        return None

    def checked() -> asyncio.AbstractEventLoop:
        _look_for_room()
        loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
        return loop

    return checked


def _look_for_room() -> None:
    """Raises OSError (EMFILE) where libuv, which has no other way to say it, would abort the process."""
    held: list[int] = []
    try:
        for _ in range(FILES_OF_A_LOOP):
            held.append(os.open(os.devnull, os.O_RDONLY))
    finally:
        for file in held:
            os.close(file)
