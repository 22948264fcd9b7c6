"""What may go wrong with a simulated server: drawn by probability from a seed, or called for by name.

    per message     rates are probabilities           per second      rates are how often in a second
    answer_lost     stored, but nobody is told        cut             a connection ends; some of what is under way arrives
    publish_lost    not stored, and nobody is told    held            a connection stands still for a while; the client may give it up
    stalled         the stream takes it late, and     deaf            the server's words are lost for a while
                    all others after it               server_killed   and started again; memory and the consumers' last moments are gone
    ack_lost        an acknowledgement is forgotten   server_stopped  stands still for a while
    delivered_twice a message comes again soon        rewound         a consumer forgets its last moments
                                                      consumer_lost   a durable consumer is gone
                                                      latched         a stream answers no publisher until the server starts anew
                                                      tail_lost       killed, and the ends of streams are gone (relaxed sync only)

`counts` says what was injected, `history` when and where. After `heal` nothing more goes wrong, and all is put right that the operator of
a real one would put right.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING

from .troubles import PER_SECOND, Troubles

if TYPE_CHECKING:
    from .consumers import Consumer
    from .protocol import Publish
    from .server import SimulatedServer
    from .streams import Stream

PER_MESSAGE = ("answer_lost", "publish_lost", "stalled", "ack_lost", "delivered_twice")
KINDS = (*PER_MESSAGE, *PER_SECOND)
STALL_S = 12.0
"""The longest that a stream stalls by chance; longer than publishers wait before they send again."""
TWICE_S = 1.0


class Faults:
    """`rates`: of the kinds above; what is left out never comes by itself, but may be called for."""

    def __init__(self, seed: int = 0, rates: Mapping[str, float] | None = None) -> None:
        unknown = set(rates or ()) - set(KINDS)
        if unknown:
            raise ValueError(f"no such faults: {sorted(unknown)}")
        self.rates = dict(rates or {})
        self.chance = Random(f"faults {seed}")
        self.counts: Counter[str] = Counter()
        self.history: list[tuple[float, str, str]] = []
        self.healed = False
        self._stalled: dict[str, deque[Publish]] = {}
        self.latched: set[str] = set()

    def attach(self, server: SimulatedServer) -> None:
        self._server = server
        self.troubles = Troubles(server, self)

    def start(self) -> None:
        """From now on, faults per second come as well."""
        self.troubles.start()

    def heal(self) -> None:
        """Nothing more goes wrong, and what stands still goes on."""
        self.healed = True
        self.troubles.heal()
        for name in list(self._stalled):
            self._go_on(name)

    def injected(self, kind: str, detail: str = "") -> None:
        self.counts[kind] += 1
        self.history.append((self._server.clock.now_s(), kind, detail))
        if self._server.log is not None:
            self._server.log("fault", (kind, detail))

    def drawn(self, kind: str) -> bool:
        rate = self.rates.get(kind)
        return bool(rate) and not self.healed and self.chance.random() < rate  # type: ignore[operator]  # None is no rate

    # --- on the way of messages

    def publish(self, stream: Stream, message: Publish) -> None:
        """A message for a stream has arrived."""
        if stream.name in self.latched:
            return
        if stream.name in self._stalled:
            self._stalled[stream.name].append(message)
        elif self.drawn("publish_lost"):
            self.injected("publish_lost", message.subject)
        elif self.drawn("stalled"):
            self.stall(stream.name, self.chance.random() * STALL_S)
            self._stalled[stream.name].append(message)
        else:
            stream.receive(message.subject, message.reply, message.headers, message.data)

    def answer(self, stream: Stream, reply: str, answer: bytes, stored: bool) -> None:
        """A publisher is to be answered."""
        if stored and self.drawn("answer_lost"):
            self.injected("answer_lost", stream.name)
        else:
            self._server.say(reply, None, answer)

    def acknowledge(self, message: Publish) -> None:
        """An acknowledgement of a delivery has arrived."""
        if self.drawn("ack_lost"):
            self.injected("ack_lost", message.subject)
        else:
            self._server.acknowledged(message)

    def delivered(self, consumer: Consumer, seq: int) -> None:
        """Somebody is given a message that has to be acknowledged."""
        if self.drawn("delivered_twice"):
            self._server.clock.later(self.chance.random() * TWICE_S, self.deliver_again, consumer, seq)

    # --- by name

    def deliver_again(self, consumer: Consumer, seq: int) -> bool:
        """False: it is acknowledged by now."""
        if consumer.closed or not consumer.redeliver(seq):
            return False
        self.injected("delivered_twice", f"{consumer.name} {seq}")
        return True

    def stall(self, stream: str, seconds: float) -> None:
        """What is published to it from now on arrives, in its order, when it goes on: after the publishers' deadlines, perhaps."""
        if stream not in self._stalled:
            self.injected("stalled", f"{stream} for {seconds:.2f} s")
            self._stalled[stream] = deque()
            self._server.clock.later(seconds, self._go_on, stream)

    def latch(self, stream: str) -> None:
        """No publisher is answered, and nothing is stored, until the server starts anew."""
        self.injected("latched", stream)
        self.latched.add(stream)

    def died(self) -> None:
        """The server is dead, and with it what its streams had not taken."""
        self._stalled.clear()
        self.latched.clear()

    def _go_on(self, name: str) -> None:
        waiting = self._stalled.pop(name, deque())
        for message in waiting:
            stream = self._server.streams.get(name)
            if stream is not None:
                stream.receive(message.subject, message.reply, message.headers, message.data)
