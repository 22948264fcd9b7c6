"""The event loop of our own processes: uvloop's where it is installed (`pip install jetfleet[speed]`), else asyncio's."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
GENERATION_0 = 50_000
"""Objects allocated between two collections of the youngest generation."""
GENERATION_1, GENERATION_2 = 2, 1_000
"""Collections of the youngest between two of the middle one, and of that one between two full ones. The middle one holds up the loop for
0.3 ms per thousand objects: a million of them, as 50,000 runs that wake at once, would cost a heartbeat."""


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the work in a loop of its own, as `asyncio.run` does."""
    collect_rarely()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(work)


def collect_rarely() -> None:
    """Let the garbage collector look less often: what we allocate by the million is records and effects, which have no cycles.

    With the defaults it takes a tenth of a busy coordinator's time, and a full collection over a million waiting runs a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GENERATION_0, GENERATION_1, GENERATION_2)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """What makes the loop; None: asyncio's default."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
