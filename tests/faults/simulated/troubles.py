"""Troubles of a server and of its connections that last: each begins at a time, and most are over after a while."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .consumers import Consumer
    from .faults import Faults
    from .server import SimulatedServer
    from .wire import SimulatedWire

PER_SECOND = ("cut", "held", "deaf", "server_killed", "server_stopped", "rewound", "consumer_lost", "latched", "tail_lost")
_TICK_S = 0.1
HELD_S, DEAF_S, DOWN_S, STOPPED_S = 6.0, 5.0, 2.0, 6.0
"""The longest by chance."""
SHORT = 0.5
"""Of what is held by chance, this part is held for a moment only: long enough to come after what others send later."""
REWOUND_S, UNSYNCED_S = 3.0, 0.3
"""How much of a consumer's state is lost at most; when the server is killed, what it has not written yet."""
TAIL_MAX = 20


class Troubles:
    """Of one server. Every method injects one fault now; `start` lets them come by chance."""

    def __init__(self, server: SimulatedServer, faults: Faults) -> None:
        self._server, self._faults, self._chance = server, faults, faults.chance
        self._timer: asyncio.TimerHandle | None = None
        self._killed = False
        self._needs_restart = False

    def start(self) -> None:
        if self._timer is None and any(self._faults.rates.get(kind) for kind in PER_SECOND):
            self._later(_TICK_S, self._tick)

    def heal(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        server = self._server
        if self._faults.latched and server.is_up:
            server.kill()  # an operator would find it and start it anew
        if not server.is_up:
            self._revive()
        server.go_on()
        server.shut_out.clear()
        for link in list(server.links):
            for how in ("held", "deaf"):
                link.heal(how)
            server.bury(link)

    def _later(self, delay_s: float, call: object, *args: object) -> None:
        """Not by the server's clock: that one stands still, or dies, with the server."""
        loop, context = self._server.clock.loop, self._server.clock.context
        handle = loop.call_later(delay_s, call, *args, context=context)  # type: ignore[arg-type]
        if call == self._tick:
            self._timer = handle

    def _tick(self) -> None:
        for kind in PER_SECOND:
            rate = self._faults.rates.get(kind, 0.0)
            if rate and self._chance.random() < rate * _TICK_S:
                self._by_chance(kind)
        self._later(_TICK_S, self._tick)

    def _by_chance(self, kind: str) -> None:
        server, random = self._server, self._chance.random
        wires = [wire for wire in server.wires if wire.link is not None]
        if kind in ("cut", "held", "deaf"):
            if wires:
                wire = wires[self._chance.randrange(len(wires))]
                if kind == "cut":
                    self.cut(wire)
                elif kind == "held":
                    self.hold(wire, random() * (0.3 if random() < SHORT else HELD_S))
                else:
                    self.deafen(wire, random() * DEAF_S)
        elif not server.is_up or server.is_stopped:
            return
        elif kind == "server_killed":
            self.kill_server(random() * DOWN_S)
        elif kind == "server_stopped":
            self.stop_server(random() * STOPPED_S)
        elif kind == "tail_lost":
            self.lose_tails(random() * DOWN_S, self._chance.randint(1, TAIL_MAX))
        elif kind == "latched":
            files = [name for name in sorted(server.streams) if not server.streams[name].in_memory]
            if files:
                self._faults.latch(files[self._chance.randrange(len(files))])
        else:
            consumers = self._consumers()
            if consumers:
                self._with_consumer(kind, consumers[self._chance.randrange(len(consumers))])

    def _with_consumer(self, kind: str, consumer: Consumer) -> None:
        if kind == "rewound":
            self.rewind(consumer, self._chance.random() * REWOUND_S)
        else:
            self.lose_consumer(consumer)

    # --- connections

    def cut(self, wire: SimulatedWire) -> None:
        """RST: the client knows at once."""
        if wire.link is not None:
            self._faults.injected("cut", wire.name)
            wire.link.cut(self._chance.randint(0, len(wire.link.up)))

    def hold(self, wire: SimulatedWire, seconds: float) -> None:
        """Nothing passes, either way; nor does a new connection while it lasts."""
        self._impair(wire, "held", seconds)

    def deafen(self, wire: SimulatedWire, seconds: float) -> None:
        """One-way: the server hears the client, the client hears nothing."""
        self._impair(wire, "deaf", seconds)

    def _impair(self, wire: SimulatedWire, how: str, seconds: float) -> None:
        link = wire.link
        if link is None:
            return
        self._faults.injected(how, f"{wire.name} for {seconds:.2f} s")
        self._server.shut_out.add(wire)
        link.impair(how)
        self._later(seconds, self._let_in, wire, link, how)

    def _let_in(self, wire: SimulatedWire, link: object, how: str) -> None:
        self._server.shut_out.discard(wire)
        link.heal(how)  # type: ignore[attr-defined]
        self._server.bury(link)  # type: ignore[arg-type]

    # --- the server

    def kill_server(self, down_s: float) -> None:
        self._faults.injected("server_killed", f"for {down_s:.2f} s")
        self._server.kill()
        self._later(down_s, self._revive)

    def stop_server(self, seconds: float) -> None:
        self._faults.injected("server_stopped", f"for {seconds:.2f} s")
        self._server.stop()
        self._later(seconds, self._server.go_on)

    def lose_tails(self, down_s: float, most: int) -> None:
        """A power cut with relaxed sync: up to so many of the last messages of each stream were not on disk."""
        self._faults.injected("tail_lost", f"up to {most}")
        self._server.kill()
        for stream in self._server.table.in_order():
            stream.lose_tail(self._chance.randint(0, most))
        self._later(down_s, self._revive)

    def _revive(self) -> None:
        if self._server.is_up:
            return
        for consumer in self._consumers():
            consumer.rewind(self._chance.random() * UNSYNCED_S)
        self._server.start()

    # --- consumers

    def rewind(self, consumer: Consumer, seconds: float) -> None:
        self._faults.injected("rewound", f"{consumer.name} by {seconds:.2f} s")
        consumer.rewind(seconds)

    def lose_consumer(self, consumer: Consumer) -> None:
        self._faults.injected("consumer_lost", consumer.name)
        consumer.stream.drop_consumer(consumer.name)

    def _consumers(self) -> list[Consumer]:
        """Those that keep account of acknowledgements."""
        found = [consumer for stream in self._server.table.in_order() for consumer in stream.consumers.values()]
        return [consumer for consumer in found if consumer.acks]
