"""Health: whether a process is alive (its event loop turns) and ready (it does its part of the work), and if not why.

The two are not the same. Who is not alive should be started anew. Who is not ready waits for something: starting it anew would only make
the wait longer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

BEAT_S = 0.25
WINDOW_S = 10.0
LAG_MAX_S = 5.0
"""A loop that was held up for longer does not count as alive. Heartbeats would have failed long before."""
LAGGING_MAX_S = 10.0
"""How far a reader may be behind and still count as ready."""


class Connected(Protocol):
    """What can say whether it has a connection."""

    @property
    def is_connected(self) -> bool: ...


class Readiness:
    """`conditions`: by name, each with a function that gives the reason why it does not hold, empty if it does."""

    def __init__(self, conditions: Mapping[str, Callable[[], str]]) -> None:
        self._conditions = dict(conditions)

    def reasons(self) -> dict[str, str]:
        """The reasons of the conditions that do not hold. One that cannot be told does not hold."""
        return {name: reason for name, condition in self._conditions.items() if (reason := _asked(condition))}


def _asked(condition: Callable[[], str]) -> str:
    try:
        return condition()
    except Exception as error:  # of a part that is not there yet, or no more
        return f"cannot be told: {type(error).__name__}: {error}"


def connected(connection: Connected) -> Callable[[], str]:
    return lambda: "" if connection.is_connected else "not connected to the NATS server"


def pulling(is_pulling: Callable[[], bool]) -> Callable[[], str]:
    """For a worker, which stops pulling when it is about to end."""
    return lambda: "" if is_pulling() else "takes no tasks: it starts, or is about to end"


def caught_up(lag_s: Callable[[], float | None], limit_s: float = LAGGING_MAX_S) -> Callable[[], str]:
    """For a reader: it knows everything that was there `limit_s` ago."""

    def reason() -> str:
        lag = lag_s()
        if lag is None:
            return "has not caught up yet"
        return "" if lag <= limit_s else f"is {lag:.0f} s behind, more than {limit_s:g} s"

    return reason


class Pulse:
    """Measures how late the event loop is. `lag_s`: the longest delay in the last WINDOW_S to twice that."""

    def __init__(self) -> None:
        self._due = 0.0
        self._worst = self._worst_before = 0.0
        self._window_ends = 0.0
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._expect()
        self._window_ends = time.monotonic() + WINDOW_S
        self._beating = asyncio.create_task(self._beat(), name="pulse")

    async def stop(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None

    @property
    def lag_s(self) -> float:
        now = 0.0 if self._beating is None else time.monotonic() - self._due
        return max(0.0, now, self._worst, self._worst_before)

    @property
    def alive(self) -> bool:
        return self.lag_s <= LAG_MAX_S

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            now = time.monotonic()
            if now >= self._window_ends:
                self._worst_before, self._worst, self._window_ends = self._worst, 0.0, now + WINDOW_S
            self._worst = max(self._worst, now - self._due)
            self._expect()

    def _expect(self) -> None:
        self._due = time.monotonic() + BEAT_S
