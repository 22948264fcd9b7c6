"""Following streams: tails that are read as they grow, and waiting for what is seen on them.

    class Ends(Following):
        def __init__(self, connection: Connection) -> None:
            super().__init__()
            self._tails = [Tail(connection, subjects.HISTORY, 1, self._part)]      # `_part` sets `_changed`

Does not: know what a message is, nor begin before `start`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ClassVar, Self

from jetfleet.broker.client import Tail


class Following:
    """`_tails`: what is followed. `_changed`: whoever has seen something sets it. An async context manager."""

    DEADLINE_S: ClassVar[float] = 15
    """How long `until` waits, if nothing else is said."""

    def __init__(self) -> None:
        self._tails: list[Tail] = []
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        for tail in self._tails:
            await tail.start()

    async def stop(self) -> None:
        for tail in self._tails:
            await tail.stop()

    async def caught_up(self) -> None:
        """What is in the streams now has been seen."""
        for tail in self._tails:
            await tail.caught_up()

    async def until(self, condition: Callable[[], bool], what: str, deadline_s: float | None = None) -> None:
        """Wait until the condition holds; it is looked at whenever something was seen."""
        deadline_s = self.DEADLINE_S if deadline_s is None else deadline_s
        try:
            async with asyncio.timeout(deadline_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"waited {deadline_s:.0f} s in vain: {what}{self._so_far()}") from None

    def _so_far(self) -> str:
        """What is said to whoever has waited in vain."""
        return ""


def nothing() -> None:
    """A stream went back and is read anew: what was seen of it stays seen."""
