"""The nodes of the fleets in which payloads meet with accidents. Whoever executes leaves a line in the file that the event names.

What is made can be told from its seed, so that each consumer can say whether it got these bytes and no others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy
import pyarrow

from jetfleet.workers import Context, node

LOOK_S = 0.01
PARTS = 12


def bulk(kind: str, length: int, seed: int) -> Any:
    """`length` bytes, as an array of doubles or as bytes. Each place and each seed has its own."""
    numbers = numpy.arange(length // 8, dtype=numpy.float64) * 1.000001 + seed
    return numbers if kind == "float64" else numbers.tobytes()


def checksum(value: Any) -> int:
    return crc32(memoryview(value).cast("B"))


def note(word: str, event: Mapping[str, Any], context: Context) -> None:
    """One line for one execution."""
    identity = context.identity
    with open(event["log"], "a") as log:  # one write: lines of several processes do not mix
        log.write(f"{word} {identity.run_id} {identity.attempt} {os.getpid()} {time.time_ns()}\n")


def wait_for(path: str) -> None:
    while not Path(path).exists():
        time.sleep(LOOK_S)


def made(event: dict[str, Any], context: Context) -> dict[str, Any]:
    note("made", event, context)
    return {"data": bulk(event.get("kind", "float64"), event["bytes"], event.get("seed", 0)), "event": event}


@node("bulk.make", idempotent=True)
def make(event: dict[str, Any], context: Context) -> dict[str, Any]:
    return made(event, context)


@node("bulk.make_once")
def make_once(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Not declared idempotent: nobody may execute it a second time."""
    return made(event, context)


@node("bulk.make_parts", idempotent=True)
def make_parts(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """A list of arrays: refs inside of what a ref refers to."""
    note("made", event, context)
    return {"parts": [bulk("float64", event["bytes"], seed) for seed in range(PARTS)], "event": event}


@node("bulk.make_table", idempotent=True)
def make_table(event: dict[str, Any], context: Context) -> pyarrow.Table:
    note("made", event, context)
    return pyarrow.table({"name": [f"row {number}" for number in range(event["rows"])]})


@node("bulk.read_table")
def read_table(table: pyarrow.Table) -> int:
    return checksum("".join(table.column("name").to_pylist()).encode())


@node("bulk.gate")
def gate(event: dict[str, Any]) -> str:
    wait_for(event["gate"])
    return "open"


@node("bulk.sum")
def sum_up(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """The checksum of what was made, and who saw it."""
    value = value.get("make", value)  # behind a join with a gate
    event = value["event"]
    total = checksum(value["data"])
    note("summed", event, context)
    return {"sum": total, "bytes": memoryview(value["data"]).nbytes, "pid": os.getpid()}


@node("bulk.sum_or_fail")
def sum_or_fail(value: dict[str, Any], context: Context) -> dict[str, Any]:
    """Fails until somebody has mended what the event names."""
    if not Path(value["event"]["mended"]).exists():
        raise ValueError("broken yet")
    return sum_up(value, context)


@node("bulk.sum_parts")
def sum_parts(value: dict[str, Any], context: Context) -> list[int]:
    note("summed", value["event"], context)
    return [checksum(part) for part in value["parts"]]


@node("bulk.sum_parts_apart", mode="process")
def sum_parts_apart(value: dict[str, Any]) -> list[int]:
    return [checksum(part) for part in value["parts"]]


@node("bulk.hold", timeout_ms=60_000)
def hold(value: dict[str, Any], context: Context) -> int:
    """Keeps the view, also when nobody waits for it any more, until the gate opens; then it leaves what it saw beside the gate."""
    event, data = value["event"], value["data"]
    note("held", event, context)
    wait_for(event["gate"])
    total = checksum(data)
    Path(event["gate"] + ".seen").write_text(str(total))
    return total


@node("bulk.pass")
def passed(value: Any) -> Any:
    """A small step that reads nothing large."""
    return value
