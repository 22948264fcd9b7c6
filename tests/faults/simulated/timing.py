"""The server's clocks: timers on the loop's time, and a wall clock that may be anything.

Everything the server does at a time goes through here, so that a server that is stopped for a while does nothing meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any


class ServerClock:
    """`wall_ns`: what the server thinks the time is. Callbacks run in the context in which the server was made, whoever caused them."""

    def __init__(self, wall_ns: Callable[[], int]) -> None:
        self.loop = asyncio.get_running_loop()
        self.context: Context = copy_context()
        self._wall_ns = wall_ns
        self._held: list[tuple[Callable[..., Any], tuple[Any, ...]]] | None = None
        self._life = 0

    def now_s(self) -> float:
        return self.loop.time()

    def wall_ns(self) -> int:
        return self._wall_ns()

    def later(self, delay_s: float, call: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        return self.loop.call_later(max(delay_s, 0.0), self._due, self._life, call, args, context=self.context)

    def stop(self) -> None:
        """The server stands still: what is due waits."""
        if self._held is None:
            self._held = []

    def go_on(self) -> None:
        held, self._held = self._held or [], None
        for call, args in held:
            call(*args)

    def die(self) -> None:
        """What was to come never comes: the next process of the server sets its own timers."""
        self._life += 1
        self._held = None

    def _due(self, life: int, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if life != self._life:
            return
        if self._held is not None:
            self._held.append((call, args))
        else:
            call(*args)
