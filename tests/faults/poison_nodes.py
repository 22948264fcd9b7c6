"""Nodes that do to their worker whatever a node can do. Each leaves an effect first."""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, node

sys.path.append(str(Path(__file__).resolve().parents[2]))  # a worker that was started by its command does not know the tests

from tests.faults.noting import note

MEMORY_BYTES = 1 << 30
HUGE_BYTES = 64 << 20
"""More than the scenario lets one run take of the arena."""
CHILDREN, CHILD_S = 8, 20


@node("w.segfault", mode="process")
def segfault(value: Any, context: Context) -> None:
    note(context)
    ctypes.string_at(0)


@node("w.exit", mode="process")
def exit_(value: Any, context: Context) -> None:
    note(context)
    os._exit(3)


@node("w.leave")
async def leave(value: Any, context: Context) -> None:
    """Takes the worker with it."""
    note(context)
    os._exit(3)


@node("w.hoard", mode="process")
def hoard(value: Any, context: Context) -> int:
    """More memory than its process may have."""
    note(context)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    return len(bytearray(1 << 40))


@node("w.spin", mode="process", timeout_ms=500)
def spin(value: Any, context: Context) -> None:
    note(context)
    while True:
        pass


@node("w.hang", timeout_ms=500)
async def hang(value: Any, context: Context) -> None:
    """Never answers."""
    note(context)
    await asyncio.Event().wait()


@node("w.deaf", mode="process", timeout_ms=500)
def deaf(value: Any, context: Context) -> None:
    """Never ends, and hears no exception."""
    note(context)
    while True:
        try:
            time.sleep(1)
        except BaseException:
            continue


@node("w.huge", mode="process")
def huge(value: Any, context: Context) -> bytes:
    note(context)
    return os.urandom(HUGE_BYTES)


@node("w.fork", mode="process", timeout_ms=2_000)
def fork(value: Any, context: Context) -> None:
    """Leaves children behind that outlive it, and never ends."""
    note(context)
    for _ in range(CHILDREN):
        if not os.fork():
            time.sleep(CHILD_S)
            os._exit(0)
    while True:
        time.sleep(1)
