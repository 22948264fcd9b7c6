"""The heartbeat: says of every message in work that somebody is at it, so that it is not given to another worker.

One timer for all. A message that is done within a third of `ack_wait` costs nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from time import monotonic

from .unit import UnitOfWork

BEATS_PER_WAIT = 3
"""Two may be late or lost before the server takes the message away."""


AFTERMATH_S = 1.0
"""How long after this process was stopped messages may still come out of the socket that were sent before."""


class Heartbeat:
    """Beats for the messages that are in `units` at the time. `ack_wait_s` is the consumers' shortest.

    It also knows when it could not beat for so long that the server has given the messages to others: the process was stopped, or
    its event loop was held up. What it has from before must then be asked about: it may have been executed and recorded meanwhile.
    """

    def __init__(self, units: Collection[UnitOfWork], ack_wait_s: float) -> None:
        self._units = units
        self._ack_wait_s = ack_wait_s
        self.interval_s = ack_wait_s / BEATS_PER_WAIT
        self._beat_at, self._woke_at = monotonic(), float("-inf")

    async def run(self) -> None:
        self._beat_at = monotonic()
        while True:
            await asyncio.sleep(self.interval_s)
            await self.run_once(monotonic())

    async def run_once(self, now_s: float) -> None:
        if now_s - self._beat_at > self._ack_wait_s:
            self._woke_at = now_s
        self._beat_at = now_s
        for unit in [unit for unit in self._units if now_s - unit.since >= self.interval_s]:
            await unit.message.in_progress()

    def overslept(self, known_at_s: float) -> bool:
        """Whether a message that was known to be ours at that time may be somebody else's by now."""
        return known_at_s < self._woke_at or (known_at_s < self._beat_at + self._ack_wait_s < monotonic())

    def in_aftermath(self) -> bool:
        """Whether what comes out of the socket now may have been sent before the process was stopped."""
        now = monotonic()
        return now < self._woke_at + AFTERMATH_S or now > self._beat_at + self._ack_wait_s
