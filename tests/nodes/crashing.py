"""Own nodes that compute in a process, and do all that can go wrong there. Loaded as a user's file of nodes would be."""

from __future__ import annotations

import ctypes
import os
import time
from dataclasses import dataclass
from typing import Any

from jetfleet.workers import Context, Out, node


@dataclass
class Numbers:
    numbers: list[int]


@node("crash.sum", mode="process")
def total(value: Numbers, config: dict[str, Any]) -> dict[str, Any]:
    """Add the numbers."""
    return {"sum": sum(value.numbers), "process": os.getpid(), "unit": config["unit"]}


@node("crash.who", mode="process", ports=("yes", "no"))
def who(value: Any, context: Context) -> Out:
    return Out("no", [context.run_id, context.idempotency_key, context.attempt, context.env["REGION"]])


@node("crash.raise", mode="process")
def fail(value: Any) -> None:
    raise Unpicklable(lambda: None)


class Unpicklable(Exception):
    pass


@node("crash.segfault", mode="process")
def segfault(value: Any) -> None:
    ctypes.string_at(0)


@node("crash.exit", mode="process")
def leave(value: Any) -> None:
    os._exit(3)


@node("crash.memory", mode="process")
def exhaust(value: Any) -> None:
    raise MemoryError


@node("crash.hang", mode="process")
def hang(value: Any) -> None:
    while True:
        time.sleep(3600)


@node("crash.hang_open", mode="process")
def hang_open(value: str) -> None:
    """Hang with a pipe held open: its other end sees when this process is gone."""
    with open(value, "wb", buffering=0) as pipe:
        pipe.write(b"started")
        hang(None)


@node("crash.unencodable", mode="process")
def unencodable(value: Any) -> Any:
    return hang
