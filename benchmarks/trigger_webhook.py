"""The webhook trigger: callers in a process of their own, on connections that stay open, and one caller alone.

`loaded_p50_ms`, `loaded_p99_ms`: from a request of the crowd to its 202.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

from .processes import ROOT, BenchmarkFailed, free_port, listening
from .trigger_stage import Adapter, Stage
from .webhook_load import Target, length, request

CONNECTIONS = 64
PATH = "/orders"


class Webhook(Adapter):
    async def open(self, stage: Stage, stack: AsyncExitStack) -> None:
        self._target = Target("127.0.0.1", free_port(), PATH)
        self._loads: list[dict[str, float]] = []
        stage.serve("webhook")
        await stage.deploy("webhook", {"host": self._target.host, "port": self._target.port, "path": PATH})
        await listening(self._target.port)
        self._reader, self._writer = await asyncio.open_connection(self._target.host, self._target.port)
        stack.callback(self._writer.close)

    async def crowd(self, count: int) -> None: ...
