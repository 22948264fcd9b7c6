"""Nodes whose executions are counted from outside: each writes a line into a file when it begins, and one when it ends.

Appending a line is atomic, so the file is an order of events that nobody in the fleet has a say in.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, node

LOOK_S = 0.005


def note(log: str, *words: object) -> None:
    with open(log, "ab", buffering=0) as file:
        file.write((" ".join(map(str, words)) + "\n").encode())


@node("l.work", idempotent=True, timeout_ms=60_000)
async def work(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """At work until the file `until` is there, or for `ms`. `fails`: the number of attempts that fail."""
    note(value["log"], "in", value.get("key", ""), context.run_id, os.getpid(), value.get("n", 0))
    try:
        if "until" in value:
            while not Path(value["until"]).exists():
                await asyncio.sleep(LOOK_S)
        else:
            await asyncio.sleep(value.get("ms", 5) / 1_000)
        if context.attempt <= value.get("fails", 0):
            raise RuntimeError("as asked for")
    finally:
        note(value["log"], "out", value.get("key", ""), context.run_id, os.getpid(), value.get("n", 0))
    return value
