"""The monkey: what is done to the processes of a simulated fleet while they work, by chance, and undone when it is over.

A seed does not do everything to everybody: it picks some kinds and how often (a few faults of every kind hide each other). What happens to
the server, to connections and to messages is `faults.py`.

Guarantees: everything that it did is in the ledger and counted; after `heal` everybody is up, and no clock is wrong.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from random import Random

from ..ledger import Ledger
from .actors import Actor, nobody_restarts
from .lines import Lines
from .loop import VirtualLoop
from .machines import Machines

FREEZES_S = (0.3, 1.5, 2.5, 4.5, 9.0)
DOWN_S = (0.0, 0.0, 1.0, 4.0)
SKEWS_S = (-2.0, -0.05, 0.05, 2.0)
JUMPS_S = (-3_600.0, 3_600.0)
Trouble = Callable[[], Awaitable[None]]


class Monkey:
    """`cause` until cancelled, then `heal`. `counts`: what was injected, by kind; `log`: when."""

    def __init__(self, chance: Random, actors: list[Actor], lines: Lines, machines: Machines, ledger: Ledger, loop: VirtualLoop) -> None:
        self.counts: Counter[str] = Counter()
        self._chance, self._actors, self._lines, self._machines = chance, actors, lines, machines
        self._ledger, self._loop = ledger, loop
        kinds: dict[str, tuple[int, Trouble]] = {
            "kill": (4, self._kill), "stop": (2, self._stop), "freeze": (3, self._freeze), "clock": (1, self._clock),
            "kill_all": (1, self._kill_all),
        }  # fmt: skip
        chosen = [kind for kind in kinds if chance.random() < 0.5]
        self._kinds = [kinds[kind][1] for kind in chosen for _ in range(kinds[kind][0])]
        self._every_s = chance.choice((0.4, 1.0, 2.5))
        self._under_way: set[asyncio.Task[None]] = set()

    async def cause(self) -> None:
        """One after the other, each lasting as long as it does."""
        while self._kinds:
            await asyncio.sleep(self._chance.expovariate(1 / self._every_s))
            task = asyncio.create_task(self._chance.choice(self._kinds)())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def heal(self) -> None:
        """All is well again, and everybody there."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
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

    async def _kill_all(self) -> None:
        self._begun("kill_all")
        everybody = [actor for actor in self._actors if actor.role != "user"]
        for actor in everybody:
            actor.kill()
        self._lines.kill_server(0.2)
        await asyncio.sleep(0.3)
        for actor in everybody:
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

    async def _clock(self) -> None:
        host = self._chance.choice(sorted({actor.host for actor in self._actors}))
        by_s = self._chance.choice(JUMPS_S if self._chance.random() < 0.1 else SKEWS_S)
        self._begun("clock", f"{host} by {by_s} s")
        self._machines.set_clock(host, int(by_s * 1e9))
