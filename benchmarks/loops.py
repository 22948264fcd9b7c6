"""The event loop of the benchmarks that talk to a server: uvloop's where it is installed, as in the processes of a fleet."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

TERMINATED = 128 + signal.SIGTERM


def run_in_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the work to its end. SIGTERM and Ctrl-C cancel it, so that it cleans up, before they end this process."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            return runner.run(_cancelled_by_sigterm(work))
        except asyncio.CancelledError:
            raise SystemExit(TERMINATED) from None


async def _cancelled_by_sigterm(work: Coroutine[Any, Any, Result]) -> Result:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """None: asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
