"""Deliveries: what became of requests with a key, so that one that comes again gets the same answer at once.

The key of a firing makes it one run anyhow, in whatever process it arrives. This saves the way to the server, and lets a request that comes
while its first is still on its way wait for the same answer. What was refused is forgotten: it may be accepted next time.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from ...broker.triggers.firing import Fate

KEPT, KEPT_S = 10_000, 3_600.0


class Deliveries:
    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[float, asyncio.Future[Fate]]] = OrderedDict()

    async def once(self, key: str, fire: Callable[[], Awaitable[Fate]]) -> Fate:
        """What became of the first firing with this key; fires if there was none. Raises what `fire` raises."""
        now = time.monotonic()
        self._forget_old(now)
        known = self._known.get(key)
        if known is not None:
            return await asyncio.shield(known[1])
        future: asyncio.Future[Fate] = asyncio.get_running_loop().create_future()
        self._known[key] = now, future
        try:
            fate = await fire()
        except BaseException as error:
            del self._known[key]
            if isinstance(error, Exception):
                future.set_exception(error)
                future.exception()  # seen: perhaps nobody else waits for it
            else:
                future.cancel()
            raise
        if fate.refused or not fate.runs:
            del self._known[key]
        future.set_result(fate)
        return fate

    def _forget_old(self, now: float) -> None:
        while self._known:
            key, (at, future) = next(iter(self._known.items()))
            if not future.done() or (len(self._known) < KEPT and now - at < KEPT_S):
                return
            del self._known[key]
