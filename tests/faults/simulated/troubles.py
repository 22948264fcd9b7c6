"""Trouble: what is done to a simulated fleet while it works, by chance, and undone when it is over.

A seed does not do everything to everybody: it picks some kinds and how often (a few faults of every kind hide each other). Messages that are
lost, doubled or late are the server's part (`faults.py`), by probabilities that are drawn here.

Guarantees: everything that was injected is in the ledger and counted; after `heal` nothing goes wrong any more, and everybody is up.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from ..ledger import Ledger
from .actors import Actor, nobody_restarts
from .loop import VirtualLoop
from .machines import Machines
from .lines import Lines

FREEZES_S = (0.3, 1.5, 2.5, 4.5, 9.0)
DOWN_S = (0.0, 0.0, 1.0, 4.0)
SKEWS_S = (-2.0, -0.05, 0.05, 2.0)
JUMPS_S = (-3_600.0, 3_600.0)
HOLDS_S = (0.2, 1.0, 2.8, 6.0)
Trouble = Callable[[], Awaitable[None]]


class Troubles:
    """`cause` until cancelled, then `heal`. `counts`: what was injected, by kind; `log`: when."""

    def __init__(
        self, chance: Random, actors: list[Actor], lines: Lines, machines: Machines, ledger: Ledger, loop: VirtualLoop
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._chance, self._actors, self._lines, self._machines = chance, actors, lines, machines
        self._ledger, self._loop = ledger, loop
        kinds: dict[str, tuple[int, Trouble]] = {
            "kill": (4, self._kill), "stop": (2, self._stop), "freeze": (3, self._freeze), "cut": (4, self._cut), "hold": (2, self._hold),
            "one_way": (2, self._one_way), "server_killed": (2, self._server_killed), "consumers_lost": (1, self._consumers_lost),
            "clock": (1, self._clock), "all_killed": (1, self._all_killed),
        }  # fmt: skip
        chosen = [kind for kind in kinds if chance.random() < 0.5] or ["kill"]
        self._kinds = [kinds[kind][1] for kind in chosen for _ in range(kinds[kind][0])]
        self._every_s = chance.choice((0.4, 1.0, 2.5))
        self._under_way: set[asyncio.Task[None]] = set()

    async def cause(self) -> None:
        """One after the other, each lasting as long as it does."""
        self._lines.begin_faults(self._chance)
        while True:
            await asyncio.sleep(self._chance.expovariate(1 / self._every_s))
            task = asyncio.create_task(self._chance.choice(self._kinds)())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def heal(self) -> None:
        """All is well again, and everybody there."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._lines.heal()
        for host in self._machines.skew_ns:
            self._machines.set_clock(host, 0)
        for actor in self._actors:
            if actor.process is not None:
                actor.process.thaw(self._loop)
            actor.start()

    # --- one by one

    def _begun(self, kind: str, detail: str = "") -> None:
        self.counts[kind] += 1
        self._ledger.fault(kind, detail)
        self._machines.note(f"fault: {kind} {detail}")

    def _over(self, kind: str) -> None:
        self._ledger.healed(kind)
        self._machines.note(f"over: {kind}")

    def _somebody(self) -> Actor | None:
        up = [actor for actor in self._actors if actor.is_up and actor.role != "user"]
        return self._chance.choice(up) if up else None

    async def _kill(self) -> None:
        actor = self._somebody()
        if actor is None:
            return
        with nobody_restarts(actor):
            self._begun(f"kill_{actor.role}", actor.name)
            actor.kill()
            await asyncio.sleep(self._chance.choice(DOWN_S))
        actor.start()
        self._over(f"kill_{actor.role}")

    async def _all_killed(self) -> None:
        self._begun("kill_all")
        for actor in self._actors:
            actor.kill()
        await self._lines.restart_server(0.2)
        for actor in self._actors:
            actor.start()
        self._over("kill_all")

    async def _stop(self) -> None:
        actor = self._somebody()
        if actor is not None and actor.role in ("coordinator", "worker"):
            self._begun(f"stop_{actor.role}", actor.name)
            actor.stop()

    async def _freeze(self) -> None:
        actor = self._somebody()
        process = actor.process if actor is not None else None
        if actor is None or process is None:
            return
        for_s = self._chance.choice(FREEZES_S)
        self._begun(f"freeze_{actor.role}", f"{actor.name} for {for_s} s")
        process.freeze()
        await asyncio.sleep(for_s)
        process.thaw(self._loop)
        self._over(f"freeze_{actor.role}")

    async def _cut(self) -> None:
        line = self._lines.some_line(self._chance)
        if line is not None:
            self._begun("cut", line)
            self._lines.cut(line)

    async def _hold(self) -> None:
        line = self._lines.some_line(self._chance)
        if line is not None:
            for_s = self._chance.choice(HOLDS_S)
            self._begun("hold", f"{line} for {for_s} s")
            self._lines.hold(line, for_s)

    async def _one_way(self) -> None:
        line = self._lines.some_line(self._chance)
        if line is not None:
            for_s = self._chance.choice(HOLDS_S)
            self._begun("one_way", f"{line} for {for_s} s")
            self._lines.one_way(line, for_s)

    async def _server_killed(self) -> None:
        for_s = self._chance.choice((0.1, 0.5, 3.0))
        self._begun("kill_server", f"for {for_s} s")
        await self._lines.restart_server(for_s)
        self._over("kill_server")

    async def _consumers_lost(self) -> None:
        self._begun("consumers_lost")
        self._lines.lose_consumers(self._chance)

    async def _clock(self) -> None:
        host = self._chance.choice(sorted({actor.host for actor in self._actors}))
        by_s = self._chance.choice(JUMPS_S if self._chance.random() < 0.1 else SKEWS_S)
        self._begun("clock", f"{host} by {by_s} s")
        self._machines.set_clock(host, int(by_s * 1e9))
