"""F10: of one process the network loses what the server says, or what the process says, for two to five seconds."""

from __future__ import annotations

from ..network import PROXIED, pause, trouble
from ..outcome import Outcome
from ..registry import Settings
from ..world import World

TIMES = 20


async def play(settings: Settings) -> Outcome:
    return await trouble("one_way", settings, settings.count(TIMES, len(PROXIED)), _one_way)


async def _one_way(one: World, name: str) -> None:
    proxy = one.proxy(name)
    if one.random.random() < 0.5:
        proxy.deafen()
    else:
        proxy.mute()
    await pause(one, 2, 5)
    proxy.cut()  # bytes are missing: nobody could go on with what is left
