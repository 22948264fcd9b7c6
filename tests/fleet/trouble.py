"""Trouble for servers, and waiting for what it leads to."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .background import BackgroundServer


async def until(condition: Callable[[], bool], what: str, deadline_s: float = 15) -> None:
    """Wait for something that nothing signals."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, f"waited {deadline_s} s in vain: {what}"
        await asyncio.sleep(0.01)


async def restarted(server: BackgroundServer) -> None:
    """Kill the server and start it again, with its store."""
    server.kill()
    await asyncio.to_thread(server.restart)


@contextmanager
def frozen(server: BackgroundServer) -> Iterator[None]:
    """The server neither answers nor hangs up."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)
