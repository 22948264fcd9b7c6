"""The network: connections that deliver in order, after a while, or stop doing so.

A pipe is one direction of a connection. What was put in comes out in the same order; while it is held nothing comes out, and what is put
into a lossy one is gone. Whoever receives does so in a context of its own, so that code of one process never runs on behalf of another.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

Latency = Callable[[], float]
_TOGETHER_S = 1e-9


class Pipe:
    """`deliver` is called with each thing that was put in, at the earliest `latency()` seconds later."""

    def __init__(self, deliver: Callable[[Any], None], latency: Latency, context: Context) -> None:
        self._loop = asyncio.get_running_loop()
        self._deliver, self._latency, self._context = deliver, latency, context
        self._under_way: deque[tuple[float, Any]] = deque()
        self._timer: asyncio.Handle | None = None
        self._put_s = self._due_s = 0.0
        self._held = self._closed = False
        self.lossy = False

    def __len__(self) -> int:
        return len(self._under_way)

    def put(self, thing: Any) -> None:
        if self._closed or self.lossy:
            return
        now_s = self._loop.time()
        if now_s > self._put_s or not self._under_way:  # what is put in one moment travels together
            self._put_s, self._due_s = now_s, max(self._due_s, now_s + self._latency())
        self._under_way.append((self._due_s, thing))
        if self._timer is None and not self._held:
            self._set_timer(now_s)

    def hold(self) -> None:
        self._held = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def release(self) -> None:
        self._held = False
        if self._under_way and self._timer is None:
            self._set_timer(self._loop.time())

    def close(self, keep: int = 0) -> None:
        """Nothing more goes in, and of what is under way only the first `keep` come out."""
        while len(self._under_way) > keep:
            self._under_way.pop()
        self._closed = True

    def _set_timer(self, now_s: float) -> None:
        due_s = self._under_way[0][0]
        if due_s <= now_s + _TOGETHER_S:
            self._timer = self._loop.call_soon(self._flush, context=self._context)
        else:
            self._timer = self._loop.call_at(due_s, self._flush, context=self._context)

    def _flush(self) -> None:
        self._timer = None
        now_s = self._loop.time()
        under_way = self._under_way
        try:
            while under_way and under_way[0][0] <= now_s + _TOGETHER_S and not self._held:
                self._deliver(under_way.popleft()[1])
        finally:
            if under_way and not self._held and self._timer is None:
                self._set_timer(now_s)
