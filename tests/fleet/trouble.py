"""Trouble for servers, and waiting for what it leads to."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

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
    with stopped(server.pid):
        yield


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """The process does nothing, and lets go of nothing that it holds."""
    os.kill(pid, signal.SIGSTOP)
    while not _stopped(pid):  # the signal is on its way; what the process does meanwhile it does
        time.sleep(0.001)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _stopped(pid: int) -> bool:
    """Whether all threads of the process have stopped; where that cannot be seen, they count as stopped."""
    states = [task.joinpath("stat").read_text().rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").glob("*")]
    return all(state in "Tt" for state in states)
