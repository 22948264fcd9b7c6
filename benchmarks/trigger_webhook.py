"""The webhook trigger: callers in a process of their own, on connections that stay open, and one caller alone.

`loaded_p50_ms`, `loaded_p99_ms`: from a request of the crowd to its 202. `callers_cpu_us_per_event`: what the callers' process took of
the same two cores.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from contextlib import AsyncExitStack
from typing import Any

from .processes import ROOT, BenchmarkFailed, free_port, listening
from .trigger_stage import Adapter, Stage
from .webhook_load import Target, body_length, is_accepted, request

HOST, PATH = "127.0.0.1", "/orders"


class Webhook(Adapter):
    window = 64
    """Connections."""

    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        self._target = Target(HOST, free_port(), PATH)
        self._loads: list[dict[str, float]] = []
        stage.serve("webhook")
        await stage.deploy("webhook", {"host": HOST, "port": self._target.port, "path": PATH})
        await listening(self._target.port)
        self._callers = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.webhook_load", HOST, str(self._target.port), PATH, str(self.window),
            cwd=ROOT, stdin=PIPE, stdout=PIPE,
        )  # fmt: skip
        stack.push_async_callback(self._end_callers)
        self._stack = stack
        self._caller: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def crowd(self, count: int) -> None:
        assert self._callers.stdin is not None and self._callers.stdout is not None
        self._callers.stdin.write(b"%d\n" % count)
        line = await self._callers.stdout.readline()
        load: dict[str, Any] = json.loads(line) if line else {"error": "the callers' process has ended"}
        if "error" in load:
            raise BenchmarkFailed(load["error"])
        self._loads.append(load)

    async def one(self) -> float:
        if self._caller is None:  # not before it is needed: who connects and says nothing is sent away
            self._caller = await asyncio.open_connection(HOST, self._target.port)
            self._stack.callback(self._caller[1].close)
        reader, writer = self._caller
        began = time.perf_counter()
        writer.write(request(self._target, 0))
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(body_length(head))
        if not is_accepted(head):
            raise BenchmarkFailed(f"the webhook answers {head[:40]!r}: {body!r}")
        return began

    async def more(self, stage: Stage, alone: int) -> dict[str, Any]:
        crowds = self._loads[1:]  # the first one was to warm up
        return {
            "loaded_p50_ms": round(statistics.median(load["p50_ms"] for load in crowds), 2),
            "loaded_p99_ms": round(statistics.median(load["p99_ms"] for load in crowds), 2),
            "callers_cpu_us_per_event": round(statistics.median(load["cpu_us"] for load in crowds)),
        }

    async def _end_callers(self) -> None:
        assert self._callers.stdin is not None
        self._callers.stdin.close()
        await self._callers.wait()
