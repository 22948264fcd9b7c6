"""A link: one connection of a wire to the server, from its dial to its end, as the server sees it.

healthy     both ways flow
held        nothing flows; nothing is lost either, while the client waits. It gives up after some 3 s, as with a real dead peer
deaf        what the server says is lost; the client gives up likewise
ended       the client knows at once, or has given up. What it had sent may still arrive
"""

from __future__ import annotations

import asyncio
from contextvars import copy_context
from itertools import count
from typing import TYPE_CHECKING, Any

from .network import Pipe
from .subscription import Subscription

if TYPE_CHECKING:
    from .server import SimulatedServer
    from .wire import SimulatedWire

PING, PONG, FIN = "PING", "PONG", "FIN"
PINGS_S = 1.0
"""The client pings so often, and gives up when the third ping finds two without an answer."""
_numbers = count(1)


class Link:
    """`up`: from the client to the server. `down`: back."""

    def __init__(self, server: SimulatedServer, wire: SimulatedWire) -> None:
        self.server, self.wire = server, wire
        self.number = next(_numbers)
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        latency = server.latency
        self.up = Pipe(self._take, latency, server.clock.context)
        self.down = Pipe(self._hear, latency, self._context)
        self.subscriptions: dict[int, Subscription] = {}
        self._impaired: set[str] = set()
        self._watch: asyncio.TimerHandle | None = None
        self.ended = False

    def __repr__(self) -> str:
        return f"<Link {self.number} of {self.wire.name!r}>"

    # --- trouble

    def impair(self, how: str) -> None:
        """`held`, `deaf` or `stopped` (the server stands still)."""
        self._impaired.add(how)
        self._apply()
        if self._watch is None and not self.ended:
            patience_s = PINGS_S * (2 + self.server.chance.random())
            self._watch = self._loop.call_later(patience_s, self._give_up, context=self._context)

    def heal(self, how: str) -> None:
        if how == "deaf" and how in self._impaired and not self.ended:
            self._give_up()  # a connection that lives loses nothing in its middle: what was lost is lost with it
        self._impaired.discard(how)
        self._apply()
        if not self._impaired and self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _apply(self) -> None:
        self.down.lossy = "deaf" in self._impaired
        for pipe, held in ((self.up, self._impaired & {"held", "stopped"}), (self.down, "held" in self._impaired)):
            if held:
                pipe.hold()
            else:
                pipe.release()

    def _give_up(self) -> None:
        self._watch = None
        self.cut(arriving=self.server.chance.randint(0, len(self.up)))

    def cut(self, arriving: int = 0) -> None:
        """It ends. Of what the client has sent and the server has not taken, the first so many still arrive."""
        if self.ended:
            return
        self.vanish(arriving)
        self._loop.call_soon(self.wire.lost, self, context=self._context)

    def vanish(self, arriving: int = 0) -> None:
        """As `cut`, but there is nobody left to be told."""
        if self.ended:
            return
        self.ended = True
        if self._watch is not None:
            self._watch.cancel()
        self.down.close()
        self.up.close(arriving)
        self.server.bury(self)

    @property
    def is_over(self) -> bool:
        """Whether nothing can come of it any more. While it is impaired, the server does not learn that the client is gone."""
        return self.ended and not self._impaired and not len(self.up)

    # --- what flows

    def _take(self, thing: Any) -> None:
        self.server.take(self, thing)

    def _hear(self, thing: Any) -> None:
        if not self.ended:
            self.wire.hear(thing)
