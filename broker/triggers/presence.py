"""Presence: a process that serves triggers is a member of the fleet, and says with its heartbeats what becomes of them.

So `jetfleet trigger list` and `doctor` know who serves what, also where that is a program of somebody's own. Coordinators say it with the
heartbeats that they have anyway, and need none of this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..client import Connection
from ..fleet.membership import TRIGGER, Membership
from .serving import Serving

LOOK_S = 1.0
"""How often what the triggers do is put into the facts; a change of a state is told at once then, counts with the next beat."""

Told: TypeAlias = Callable[[str, str, Serving | None], None]
"""Told the flow and id of each trigger that is in another state, and how it is served; None: no more."""


class Presence:
    """`served`: the triggers as they are now; `facts`: what is said of them. `on_state`: who is told of states. `id`: of the member."""

    def __init__(
        self, connection: Connection, served: Callable[[], Sequence[Serving]], facts: Callable[[], dict[str, Any]], on_state: Sequence[Told]
    ) -> None:
        self._membership = Membership(connection, TRIGGER)
        self._served, self._facts, self._on_state = served, facts, on_state
        self._states: dict[tuple[str, str], str] = {}
        self._said: dict[tuple[str, str], tuple[str, str, bool]] = {}
        self._telling: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return self._membership.id

    async def start(self) -> None:
        """Say that this process is there. Raises BrokerError."""
        self._membership.facts.update(self._facts())
        await self._membership.start()
        self._telling = asyncio.create_task(self._tell(), name="facts of the triggers")

    async def stop(self) -> None:
        """Say goodbye, if anything was said."""
        telling, self._telling = self._telling, None
        if telling is not None:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
            await self._membership.stop()

    async def _tell(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        """What the triggers do into the facts; every change of a state to who listens, and to the fleet at once, as is a new error."""
        served = {(each.flow, each.trigger): each for each in self._served()}
        self._membership.facts.update(self._facts())
        before, self._states = self._states, {name: each.state for name, each in served.items()}
        for name in self._states.keys() | before.keys():
            if self._states.get(name) != before.get(name):
                for told in self._on_state:
                    told(*name, served.get(name))
        said, self._said = self._said, {name: (each.state, each.error, bool(each.detail)) for name, each in served.items()}
        if self._said != said:
            self._membership.tell()
