"""The nodes that workers execute in these tests. Files tell what was executed, and when a node may go on."""

from __future__ import annotations

import asyncio
import ctypes
import os
import time
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, node


def note(value: dict[str, Any], context: Context) -> None:
    """One line per execution, in the file that the task names."""
    with open(value["log"], "a") as log:
        log.write(f"{context.run_id} {context.attempt} {os.getpid()}\n")


@node("t.double", mode="inline")
def double(value: dict[str, Any]) -> dict[str, Any]:
    return {"n": value["n"] * 2}


@node("t.noted", mode="inline")
def noted(value: dict[str, Any], context: Context) -> str:
    """Kills its worker if the task says so."""
    note(value, context)
    if value.get("poison"):
        os._exit(9)
    return "noted"


@node("t.gated")
async def gated(value: dict[str, Any], context: Context) -> str:
    """Waits for a file."""
    note(value, context)
    while not Path(value["gate"]).exists():
        await asyncio.sleep(0.01)
    return "through"


@node("t.blocking")
def blocking(value: dict[str, Any], context: Context) -> str:
    """Waits for a file, in a thread that looks whether anybody still waits for it."""
    note(value, context)
    while not Path(value["gate"]).exists() and not context.cancelled:
        time.sleep(0.01)
    return "through"


@node("t.large", mode="inline")
def large(value: dict[str, Any]) -> str:
    return "x" * value["bytes"]


@node("t.segfault", mode="process")
def segfault(value: Any) -> None:
    ctypes.string_at(0)


@node("t.exit", mode="process")
def leave(value: Any) -> None:
    os._exit(3)


@node("t.spin", mode="process", timeout_ms=300)
def spin(value: Any) -> None:
    while True:
        pass


@node("t.hoard", mode="process")
def hoard(value: Any) -> int:
    """More memory than the process may have."""
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    return len(bytearray(1 << 40))


@node("t.busy", mode="process")
def busy(value: dict[str, Any], context: Context) -> None:
    """Never ends by itself."""
    note(value, context)
    while True:
        pass
