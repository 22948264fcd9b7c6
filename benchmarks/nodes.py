"""The own nodes of the benchmarks' flows, for `jetfleet worker --nodes benchmarks/nodes.py`."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from jetfleet.workers import Context, node

LEDGER = "JETFLEET_BENCHMARK_LEDGER"
"""The environment variable with the file that `bench.ledger` writes to."""
LEDGER_WORK_S = 0.005

_ledger: int | None = None


@node("bench.inline", mode="inline")
def inline(value: Any) -> Any:
    """Next to nothing: what is measured is everything else."""
    return {"n": value["n"] + 1} if "n" in value else value


@node("bench.count", mode="inline")
def count(values: list[Any]) -> int:
    """The end of a fan: an output that is small, as the bare pipeline has none at all."""
    return len(values)


@node("bench.ledger")
async def ledger(value: Any, context: Context) -> Any:
    """Leave a trace outside the system, then work a little, so that something is in work whenever the process is killed."""
    identity = context.identity
    activation = ".".join(str(step) for step in identity.activation)
    line = f"{identity.run_id} {activation} {identity.attempt} {os.getpid()} {time.time_ns()}\n"
    os.write(_ledger_file(), line.encode())  # one write to a file opened for appending: lines of several processes do not mix
    await asyncio.sleep(LEDGER_WORK_S)
    return value


def _ledger_file() -> int:
    global _ledger
    if _ledger is None:
        _ledger = os.open(os.environ[LEDGER], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    return _ledger
