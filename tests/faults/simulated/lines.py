"""The server of a world, as the world sees it: where the fleet connects to, what chance does to it, and what it did.

Guarantees: connections of the world itself (who watches, and who judges) are spared by chance. `digest` is of every message that was
stored, every acknowledgement and every answer, in their order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from random import Random
from typing import Any

from jetfleet.broker.client import connection as of_client

from ..ledger import Ledger
from . import clock
from .faults import Faults
from .process import Process
from .server import SimulatedServer
from .wire import SimulatedWire

LATENCY_S = 0.002
RATES: dict[str, tuple[float, ...]] = {
    "answer_lost": (0.002, 0.02), "publish_lost": (0.002, 0.02), "stalled": (0.0005, 0.004), "ack_lost": (0.005, 0.05),
    "delivered_twice": (0.005, 0.05), "cut": (0.05, 0.5), "held": (0.05, 0.3), "deaf": (0.05, 0.2), "server_killed": (0.03, 0.15),
    "server_stopped": (0.02, 0.08), "rewound": (0.05, 0.3), "consumer_lost": (0.02, 0.1), "latched": (0.01, 0.03),
}  # fmt: skip
"""Of each kind of fault that A seed may have: seldom, and often. Not among them: `tail_lost`, which breaks what was promised."""


class Lines:
    """`trace`: where everything that the server did is written down in words, if anybody wants it. `ledger`: is told of every fault."""

    def __init__(self, seed: int, trace: list[str] | None, ledger: Ledger) -> None:
        self.faults = Faults(seed, {})
        self.server = SimulatedServer(seed, latency_s=LATENCY_S, wall_ns=clock.wall_ns, faults=self.faults)
        self.server.log = self._done
        self._hash = hashlib.blake2b(digest_size=16)
        self._trace, self._ledger = trace, ledger
        self._seed = seed
        of_client.Wire = self._wire  # type: ignore[assignment,misc]

    def begin_faults(self) -> None:
        """Some kinds, so often as the seed has it."""
        chance = Random(f"rates {self._seed}")
        for kind, rates in RATES.items():
            if chance.random() < 0.3:
                self.faults.rates[kind] = chance.choice(rates)
        self.faults.start()

    def heal(self) -> None:
        self.faults.heal()

    def kill_server(self, down_s: float) -> None:
        self.faults.troubles.kill_server(down_s)

    @property
    def counts(self) -> Counter[str]:
        return self.faults.counts

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    def messages_in(self, stream: str, beside: str = "") -> int:
        """How many messages there are, but for those on a subject."""
        found = self.server.streams.get(stream)
        return 0 if found is None else sum(len(seqs) for subject, seqs in found.store.by_subject.items() if subject != beside)

    def _wire(self) -> SimulatedWire:
        who = clock.current.get()
        if not isinstance(who, Process):
            return _Spared(self.server)
        wire = self.server.wire()
        who.lines.append(wire)
        return wire

    def _done(self, word: str, facts: Any) -> None:
        if word == "fault":
            self._ledger.fault(*facts)
        said = f"{word} {facts!r}"
        self._hash.update(said.encode())
        if self._trace is not None:
            self._trace.append(f"{clock.elapsed_s():9.3f}  {said[:400]}")


class _Spared(SimulatedWire):
    """Nothing happens to it by chance."""

    async def connect(self, servers: object = None, **options: Any) -> None:
        await super().connect(servers, **options)
        self._server.wires.pop(self, None)
