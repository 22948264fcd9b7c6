"""F10: of one process the network drops everything for one to six seconds; what is repeated by TCP arrives then, late."""

from __future__ import annotations

from ..network import PROXIED, pause, trouble
from ..outcome import Outcome
from ..registry import Settings
from ..world import World

TIMES = 20


async def play(settings: Settings) -> Outcome:
    return await trouble("held_up", settings, settings.count(TIMES, len(PROXIED)), _hold)


async def _hold(one: World, name: str) -> None:
    proxy = one.proxy(name)
    proxy.hold()
    await pause(one, 1, 6)
    proxy.release()
