"""Cancellation: one flag that says that an attempt is no longer wanted, readable from threads and awaitable in a loop.

    if context.cancelled: return            in a thread, between two steps of long work
    await context.cancelled                 in the event loop

It is set once and never cleared. Setting it interrupts nobody: threads cannot be interrupted, they have to look.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator


class Cancellation:
    """False until `set` is called. Safe to use from any thread."""

    __slots__ = ("_is_set", "_lock", "_waiters")

    def __init__(self) -> None:
        self._is_set = False
        self._lock = threading.Lock()
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def __bool__(self) -> bool:
        return self._is_set

    def set(self) -> None:
        """Wake everybody who waits; further calls do nothing."""
        with self._lock:
            self._is_set, waiters, self._waiters = True, self._waiters, []
        for loop, waiter in waiters:
            loop.call_soon_threadsafe(_wake, waiter)

    async def wait(self) -> None:
        """Return as soon as it is set."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if self._is_set:
                return
            self._waiters.append((loop, waiter))
        await waiter

    def __await__(self) -> Generator[object, None, None]:
        return self.wait().__await__()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
