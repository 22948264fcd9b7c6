"""A JetStream server in plain Python, on the loop's time: the messages, streams and consumers of nats-server 2.15 as far as jetfleet uses
them, and the faults of a real one.

    server = SimulatedServer(seed=1)
    with patch("jetfleet.broker.client.connection.Wire", server.wire):
        connection = await Connection.open("nats://simulated", name="mine")

Guarantees: with the same seed and the same calls in the same order it does the same. What a client sees is what it sees of the real one;
`test_conformance*.py` compare them. Does not: speak a protocol over sockets, know accounts, clusters, push consumers, mirrors.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from .api import Api
from .asks import status
from .consumers import Consumer
from .direct import answer_direct
from .faults import Faults
from .link import FIN, PING, PONG, Link
from .protocol import Publish, Subscribe, Unsubscribe, commands
from .stored import Stored
from .stream_table import StreamTable
from .streams import Stream
from .subjects import Interest
from .subscription import Subscription
from .timing import ServerClock
from .wire import SimulatedWire

API, ACK = "$JS.API.", "$JS.ACK."
DIRECT, NEXT = "DIRECT.GET.", "CONSUMER.MSG.NEXT."
DIAL_S = 0.001


class SimulatedServer:
    """`latency_s`: the most that a way takes, 0 for none. `wall_ns`: the server's clock on the wall.

    `store_bytes`, `memory_bytes`: what the streams may reserve together. `faults`: what goes wrong by itself; nothing, if left out.
    """

    version = "2.15.1"

    def __init__(
        self,
        seed: int = 0,
        *,
        latency_s: float = 0.0,
        wall_ns: Callable[[], int] = time.time_ns,
        faults: Faults | None = None,
        store_bytes: int = 1 << 36,
        memory_bytes: int = 1 << 32,
        max_payload: int = 1 << 20,
        name: str = "simulated",
    ) -> None:
        self.chance = Random(f"server {seed}")
        self._ways = Random(f"latency {seed}")
        self.name, self.latency_s, self.max_payload = name, latency_s, max_payload
        self.clock = ServerClock(wall_ns)
        self.table = StreamTable(self.clock, {"file": store_bytes, "memory": memory_bytes})
        self.interest: Interest[Subscription] = Interest()
        self.links: dict[Link, None] = {}
        self.wires: dict[SimulatedWire, None] = {}
        self.is_up = True
        self.is_stopped = False
        self.shut_out: set[SimulatedWire] = set()
        """Those who cannot reach it."""
        self.log: Callable[[str, Any], None] | None = None
        """Told everything that it does, for digests and traces."""
        self.encode = msgspec.json.Encoder().encode
        self._api = Api(self)
        self.faults = faults or Faults(seed)
        self.faults.attach(self)

    @property
    def streams(self) -> dict[str, Stream]:
        """By name."""
        return self.table.streams

    def wire(self) -> SimulatedWire:
        """Takes the place of the client's `Wire`."""
        return SimulatedWire(self)

    def latency(self) -> float:
        return self._ways.random() * self.latency_s if self.latency_s else 0.0

    # --- connections

    async def dial(self, wire: SimulatedWire) -> Link:
        """Raises ConnectionRefusedError; waits for ever for one that does not answer."""
        await asyncio.sleep(DIAL_S + 2 * self.latency())
        if wire in self.shut_out or self.is_stopped:
            await asyncio.Event().wait()
        if not self.is_up:
            raise ConnectionRefusedError(f"{self.name} is down")
        link = Link(self, wire)
        self.links[link] = None
        return link

    def bury(self, link: Link) -> None:
        """Forget the link, if its client is gone, the server can know that, and nothing more comes out of it."""
        if link.is_over:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        self.links.pop(link, None)
        for subscription in link.subscriptions.values():
            self.interest.remove(subscription)
        link.subscriptions.clear()

    def take(self, link: Link, thing: Any) -> None:
        """What came out of a link."""
        if thing is PING:
            link.down.put(PONG)
        elif thing is FIN:
            self._drop(link)
        elif self.is_up:
            for command in commands(thing):
                self._carry_out(link, command)
        if link.ended:
            self.bury(link)

    def _carry_out(self, link: Link, command: Publish | Subscribe | Unsubscribe) -> None:
        if isinstance(command, Publish):
            self.publish(command)
        elif isinstance(command, Subscribe):
            subscription = Subscription(link, command.subject, command.queue, command.sid)
            link.subscriptions[command.sid] = subscription
            self.interest.add(subscription)
        else:
            gone = link.subscriptions.pop(command.sid, None)
            if gone is not None:
                self.interest.remove(gone)

    # --- messages

    def publish(self, message: Publish) -> None:
        subject = message.subject
        if subject.startswith("$JS.") and self._for_jetstream(message):
            return
        stream = self.table.of(subject)
        if stream is not None:
            self.faults.publish(stream, message)
        told = self._route(subject, subject, message.reply, message.headers, message.data)
        if message.reply and stream is None and not told:
            self.say(message.reply, status("503", Nats_Subject=subject))

    def _route(self, to: str, subject: str, reply: str, headers: bytes | None, data: bytes) -> bool:
        """Hand a message to those who listen to `to`, one of each queue. Whether anybody does."""
        found = self.interest.match(to)
        queues: dict[str, list[Subscription]] = {}
        for subscription in found:
            if subscription.queue:
                queues.setdefault(subscription.queue, []).append(subscription)
            else:
                subscription.link.down.put((subscription.sid, subject, reply, data, headers))
        for members in queues.values():
            chosen = members[self.chance.randrange(len(members))] if len(members) > 1 else members[0]
            chosen.link.down.put((chosen.sid, subject, reply, data, headers))
        return bool(found)

    def say(self, reply: str, headers: bytes | None, data: bytes = b"") -> None:
        """An answer of the server itself."""
        if reply:
            self._route(reply, reply, "", headers, data)

    def deliver(self, consumer: Consumer, to: str, message: Stored, ack: str) -> None:
        self._route(to, message.subject, ack, message.headers, message.data)
        if consumer.acks:
            self.faults.delivered(consumer, message.seq)

    def listens(self, subject: str) -> bool:
        return self.interest.has(subject)

    # --- JetStream

    def _for_jetstream(self, message: Publish) -> bool:
        """Whether it was for JetStream."""
        subject = message.subject
        if subject.startswith(ACK):
            self.faults.acknowledge(message)
        elif subject.startswith(API + NEXT):
            return self._next(subject[len(API + NEXT) :], message)
        elif subject.startswith(API + DIRECT):
            return self._direct(subject[len(API + DIRECT) :], message)
        elif subject.startswith(API):
            answer = self._api.answer(subject[len(API) :], message.data)
            if answer is None:
                return False
            if self.log is not None:
                self.log("api", (subject, answer))
            self.say(message.reply, None, answer)
        else:
            return False
        return True

    def acknowledged(self, message: Publish) -> None:
        """An acknowledgement of a delivery has arrived."""
        facts = message.subject.split(".")
        stream = self.streams.get(facts[2])
        consumer = stream.consumers.get(facts[3]) if stream is not None else None
        if consumer is not None:
            if self.log is not None:
                self.log("ack", (message.subject, message.data))
            consumer.acknowledged(int(facts[5]), message.data)
            self.say(message.reply, None)

    def _next(self, about: str, message: Publish) -> bool:
        name, _, consumer_name = about.partition(".")
        stream = self.streams.get(name)
        consumer = stream.consumers.get(consumer_name) if stream is not None else None
        if consumer is not None and message.reply:
            consumer.ask(message.reply, msgspec.json.decode(message.data) if message.data else {})
        return consumer is not None

    def _direct(self, about: str, message: Publish) -> bool:
        name, _, subject = about.partition(".")
        stream = self.streams.get(name)
        if stream is None or not stream.config["allow_direct"]:
            return False
        if message.reply:
            answer_direct(stream, subject, message.data, lambda headers, data: self.say(message.reply, headers, data))
        return True

    def acknowledge(self, stream: Stream, reply: str, answer: bytes, stored: bool) -> None:
        """The stream answers a publisher."""
        self.faults.answer(stream, reply, answer, stored)

    def stored(self, stream: Stream, message: Stored) -> None:
        if self.log is not None:
            self.log("stored", (stream.name, message.seq, message.subject, message.data))

    # --- its life

    def kill(self) -> None:
        """As SIGKILL: every link is cut; what was in memory is gone."""
        self.is_up = False
        self.is_stopped = False
        self.clock.die()
        for link in list(self.links):
            link.up.close()
            link.cut()
            self._drop(link)
        self.faults.died()

    def start(self, *, forget_consumers: bool = False) -> None:
        """Again, with what was on disk. `forget_consumers`: not even durable ones, as after a power cut with relaxed sync."""
        self.table.recover(forget_consumers)
        self.is_up = True

    def stop(self) -> None:
        """As SIGSTOP."""
        self.is_stopped = True
        self.clock.stop()
        for link in self.links:
            link.impair("stopped")

    def go_on(self) -> None:
        """As SIGCONT."""
        if not self.is_stopped:
            return
        self.is_stopped = False
        self.clock.go_on()
        for link in list(self.links):
            link.heal("stopped")
            self.bury(link)
