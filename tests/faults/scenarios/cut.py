"""F10: the connections of one process are reset, and for up to three seconds there are no new ones."""

from __future__ import annotations

from ..network import PROXIED, pause, trouble
from ..outcome import Outcome
from ..registry import Settings
from ..world import World

TIMES = 20


async def play(settings: Settings) -> Outcome:
    return await trouble("cut", settings, settings.count(TIMES, len(PROXIED)), _cut)


async def _cut(one: World, name: str) -> None:
    proxy = one.proxy(name)
    if one.random.random() < 0.5:
        proxy.cut()
        return
    proxy.shut()
    await pause(one, 0.1, 3)
    proxy.reopen()
