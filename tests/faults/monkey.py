"""The kill monkey: SIGKILL to one process after another at random moments, each started again after a random pause, under constant load."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .world import ROLES, World

BETWEEN_S = (0.05, 1.0)
DEAD_S = (0.05, 1.0)


class Monkey:
    """`roles`: who may be hit; each as often as any other. What is dead already is left alone."""

    def __init__(self, one: World, roles: Sequence[str] = ROLES) -> None:
        self._world, self._roles = one, roles
        self._starting: set[asyncio.Task[None]] = set()

    async def kill(self, count: int) -> None:
        """Returns when everything is up again."""
        random = self._world.random
        for _ in range(count):
            await asyncio.sleep(random.uniform(*BETWEEN_S))
            await self.kill_one()
        await self.restored()

    async def kill_one(self) -> None:
        victims = await self._victims()
        name = self._world.random.choice(victims)
        self._world.kill(name)
        task = asyncio.create_task(self._bring_back(name))
        self._starting.add(task)
        task.add_done_callback(self._starting.discard)

    async def _victims(self) -> list[str]:
        """The living of one role; somebody always comes back."""
        while True:
            role = self._world.random.choice(self._roles)
            if found := self._world.alive(role):
                return found
            await asyncio.sleep(BETWEEN_S[0])

    async def _bring_back(self, name: str) -> None:
        await asyncio.sleep(self._world.random.uniform(*DEAD_S))
        await self._world.start_again(name)
        self._world.ledger.healed(f"kill {name.partition('-')[0]}")

    async def restored(self) -> None:
        """Wait until all that was killed has been started again."""
        if self._starting:
            await asyncio.gather(*self._starting)
