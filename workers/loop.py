"""The event loop of our own commands: uvloop's where it is installed (`pip install jetfleet[speed]`), else asyncio's.

Guarantees that the work's end is the loop's end: tasks that node code has started and that do not heed their cancellation are left
lying, where `asyncio.run` would wait for them for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..broker.garbage import collect_rarely
from ..broker.loop import loop_factory
from .slots import GRACE_S

Result = TypeVar("Result")

_left_lying: list[asyncio.Task[Any]] = []
"""Kept, because asyncio and Python both complain when such a task is thrown away."""


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the work in a loop of its own, as `asyncio.run` does."""
    collect_rarely()
    runner = asyncio.Runner(loop_factory=loop_factory())
    try:
        loop = runner.get_loop()
    except OSError:  # no file descriptors left: nobody will ever await it
        work.close()
        raise
    try:
        return runner.run(work)
    finally:
        if _end_tasks(loop):
            runner.close()


def _end_tasks(loop: asyncio.AbstractEventLoop) -> bool:
    """Cancel all tasks. False: some have not ended within the grace."""
    tasks = asyncio.all_tasks(loop)
    if not tasks:
        return True
    for task in tasks:
        task.cancel()
    _, stubborn = loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE_S))
    for task in stubborn:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    _left_lying.extend(stubborn)
    return not stubborn
