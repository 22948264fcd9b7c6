"""F10: the network of one process comes and goes, ten times within some seconds."""

from __future__ import annotations

from ..network import PROXIED, pause, trouble
from ..outcome import Outcome
from ..registry import Settings
from ..world import World

TIMES = 10
FLAPS = 10


async def play(settings: Settings) -> Outcome:
    return await trouble("flapping", settings, settings.count(TIMES, len(PROXIED)), _flap)


async def _flap(one: World, name: str) -> None:
    proxy = one.proxy(name)
    for _ in range(FLAPS):
        proxy.shut()
        await pause(one, 0.05, 0.5)
        proxy.reopen()
        await pause(one, 0.05, 0.5)
