"""F11: everything that one process says or hears comes 100 to 300 ms later, and one chunk in a hundred stops halfway for half a second."""

from __future__ import annotations

from ..network import PROXIED, pause, trouble
from ..outcome import Outcome
from ..registry import Settings
from ..world import World

TIMES = 10
STALLS = (0.01, 0.5)


async def play(settings: Settings) -> Outcome:
    return await trouble("delay", settings, settings.count(TIMES, len(PROXIED)), _delay)


async def _delay(one: World, name: str) -> None:
    proxy = one.proxy(name)
    proxy.delay_s, proxy.stall = one.random.uniform(0.1, 0.3), STALLS
    await pause(one, 3, 6)
    proxy.delay_s, proxy.stall = 0.0, (0.0, 0.0)
