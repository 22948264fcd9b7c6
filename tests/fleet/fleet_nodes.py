"""The nodes of the flows that coordinators are tested with. What was executed is written to the file that the event names."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from jetfleet.workers import Context, NodeError, node


@node("f.echo", mode="inline")
def echo(value: Any) -> Any:
    return value


@node("f.step")
async def step(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """Leaves a line, then works a little, so that something is in work whenever a process is killed."""
    identity = context.identity
    activation = ".".join(str(part) for part in identity.activation)
    with open(value["log"], "a") as log:  # one write: lines of several processes do not mix
        log.write(f"{identity.run_id} {activation} {identity.attempt} {os.getpid()} {time.time_ns()}\n")
    await asyncio.sleep(0.002)
    return value


@node("f.gated")
async def gated(value: dict[str, Any]) -> dict[str, Any]:
    """Waits for a file."""
    while not Path(value["gate"]).exists():
        await asyncio.sleep(0.01)
    return value


@node("f.large", mode="inline")
def large(value: dict[str, Any]) -> str:
    return "x" * value["bytes"]


@node("f.picky", mode="inline")
def picky(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """Fails as often as the event says."""
    if context.attempt <= value.get("fails", 0):
        raise NodeError(f"attempt {context.attempt} was told to fail", type="picky")
    return value


@node("f.meet")
async def meet(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """Ends only if so many are executed at the same time."""
    place = Path(value["place"])
    place.mkdir(exist_ok=True)
    (place / context.identity.run_id).touch()
    while len(list(place.iterdir())) < value["count"]:
        await asyncio.sleep(0.01)
    return value
