"""A stream: takes messages, keeps what its limits allow, and tells its consumers.

A publisher is answered before the consumers are told. What may go wrong on the way (an answer that is lost, a stream that stands still) is
decided by the server that it belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import refusals
from .admission import admit, admit_batch, check_size
from .batches import Batches
from .consumers import Consumer
from .expiry import Expiry
from .ids import Ids
from .prepared import BATCH, SCHEDULE_NEXT, SCHEDULER, Prepared
from .schedules import Schedules
from .store import Store
from .stored import Stored, rfc3339, size_in_memory, size_on_file
from .subjects import Matcher, any_of

if TYPE_CHECKING:
    from .server import SimulatedServer

_AUDIENCES_MAX = 20_000
_NEVER = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Limits:
    """-1 or 0: there is none."""

    bytes: int
    messages: int
    per_subject: int
    message_bytes: int
    discards_new: bool
    discards_new_per_subject: bool


class Stream:
    """`config`: with all of the server's defaults. `matches`: true of the subjects that it takes."""

    def __init__(self, server: SimulatedServer, config: dict[str, Any]) -> None:
        self.server, self.clock = server, server.clock
        self.name: str = config["name"]
        self.created_ns = server.table.born_ns()
        self.store = Store(int(config.get("first_seq") or 0))
        self.consumers: dict[str, Consumer] = {}
        self.ids = Ids(self.clock, 0)
        self._batches = Batches()
        self._schedules = Schedules(self)
        self._expiry = Expiry(self)
        self._audiences: dict[str, list[Consumer]] = {}
        self.reconfigure(config)

    def reconfigure(self, config: dict[str, Any]) -> None:
        self.config = config
        self.matches: Matcher = any_of(config["subjects"])
        self.in_memory = config["storage"] == "memory"
        self.is_workqueue = config["retention"] == "workqueue"
        self.size_of = size_in_memory if self.in_memory else size_on_file
        self.limits = Limits(
            config["max_bytes"], config["max_msgs"], config["max_msgs_per_subject"], config["max_msg_size"],
            config["discard"] == "new", config["discard_new_per_subject"],
        )  # fmt: skip
        self.ids.window_ns = config["duplicate_window"]
        for subject in list(self.store.by_subject):
            self._enforce_on(subject)
        self._enforce()

    # --- publishing

    def receive(self, subject: str, reply: str, headers: bytes | None, data: bytes) -> None:
        """A message from a client: answered, if it asks for that, then told to the consumers."""
        message = Prepared(subject, headers, data)
        try:
            answer, stored = self._taken_in_batch(message) if BATCH in message.asks else self._taken(message)
        except refusals.Refusal as refusal:
            answer, stored = self.server.encode({"error": refusal.document, "stream": self.name, "seq": 0}), []
        if reply:
            self.server.acknowledge(self, reply, answer, bool(stored))
        for each in stored:
            self._tell(each)

    def fire(self, subject: str, headers: bytes, data: bytes) -> None:
        """A message that the server itself publishes."""
        self.receive(subject, "", headers, data)

    def _taken(self, message: Prepared) -> tuple[bytes, list[Stored]]:
        known = admit(self, message)
        if known:
            return b'{"stream":"%b","seq":%d,"duplicate": true}' % (self.name.encode(), known), []
        stored = self._put(message)
        return b'{"stream":"%b","seq":%d}' % (self.name.encode(), stored.seq), [stored]

    def _taken_in_batch(self, message: Prepared) -> tuple[bytes, list[Stored]]:
        check_size(self, message)
        if not self.config["allow_atomic"]:
            raise refusals.batches_disabled()
        messages = self._batches.take(message, self.clock.now_s())
        if not messages:
            return b"", []
        admit_batch(self, messages)
        stored = [self._put(each) for each in messages]
        facts = (self.name.encode(), stored[-1].seq, message.asks[BATCH], len(stored))
        return b'{"stream":"%b","seq":%d,"batch":"%b","count":%d}' % facts, stored

    def _put(self, message: Prepared) -> Stored:
        size = self.size_of(message.subject, message.headers, message.data)
        stored = Stored(self.store.last_seq + 1, message.subject, message.headers, message.data, self.clock.wall_ns(), size)
        self.store.append(stored)
        self.server.stored(self, stored)
        self._enforce_on(stored.subject)
        self._enforce()
        if message.asks:
            self._carry_out(message, stored)
        return stored

    def _carry_out(self, message: Prepared, stored: Stored) -> None:
        """What the headers ask for besides."""
        asks = message.asks
        if message.lives_s:
            self._expiry.add(stored, message.lives_s)
        self._schedules.stored(stored, message.due_ns, SCHEDULER in asks)
        self.ids.remember(message.id, stored)
        if message.rollup:
            self.purge(stored.subject if message.rollup == b"sub" else "", keep=1)
        if asks.get(SCHEDULE_NEXT) == b"purge" and SCHEDULER in asks:
            self.purge(asks[SCHEDULER].decode())

    def _tell(self, message: Stored) -> None:
        for consumer in self._audience(message.subject):
            consumer.arrived(message.seq)

    def _enforce_on(self, subject: str) -> None:
        if self.limits.per_subject > 0:
            seqs = self.store.by_subject.get(subject, [])
            for seq in seqs[: -self.limits.per_subject]:
                self.remove(seq)

    def _enforce(self) -> None:
        limits, store = self.limits, self.store
        if limits.discards_new:
            return
        while 0 < limits.messages < len(store) or 0 < limits.bytes < store.size_bytes:
            self.remove(store.first_seq)

    # --- removing

    def remove(self, seq: int) -> bool:
        message = self.store.remove(seq)
        if message is None:
            return False
        self._schedules.removed(message)
        for consumer in self._audience(message.subject):
            consumer.removed(seq)
        return True

    def purge(self, subject: str = "", seq: int = 0, keep: int = 0) -> int:
        """How many went: those on `subject`, those below `seq`, all but the last `keep`."""
        seqs = self.store.of(subject or ">")
        if seq:
            seqs = [each for each in seqs if each < seq]
        seqs = seqs[: max(len(seqs) - keep, 0)]
        self._drop(seqs)
        if not subject and (seq > 1 or not (seq or keep)):
            self.store.begin_at(seq)
        for consumer in self.consumers.values():
            consumer.purged(subject)
            if len(seqs) == 1 and (subject or keep):
                consumer.gone(seqs[0])  # a single one is also treated as if it had been deleted
        return len(seqs)

    def _drop(self, seqs: Iterable[int]) -> None:
        for each in seqs:
            message = self.store.remove(each)
            assert message is not None, "it was there a moment ago"
            self._schedules.removed(message)

    def lose_tail(self, count: int) -> int:
        """As a power cut does with what was not on disk. How many messages were lost."""
        lost = self.store.drop_tail(count)
        for consumer in self.consumers.values():
            consumer.cut_off()
        return len(lost)

    def recover(self) -> None:
        """As a server finds it that starts anew."""
        self._batches.clear()
        self.ids.recover(self.store.messages.values())
        self._schedules.recover()
        self._expiry.recover()

    # --- consumers

    def add_consumer(self, consumer: Consumer) -> None:
        self.consumers[consumer.name] = consumer
        self._audiences.clear()

    def drop_consumer(self, name: str) -> bool:
        consumer = self.consumers.pop(name, None)
        self._audiences.clear()
        if consumer is not None:
            consumer.close()
        return consumer is not None

    def refiltered(self) -> None:
        """A consumer has other filters."""
        self._audiences.clear()

    def _audience(self, subject: str) -> list[Consumer]:
        found = self._audiences.get(subject)
        if found is None:
            if len(self._audiences) > _AUDIENCES_MAX:
                self._audiences.clear()
            found = self._audiences[subject] = [consumer for consumer in self.consumers.values() if consumer.matches(subject)]
        return found

    # --- looking

    def info(self) -> dict[str, Any]:
        store = self.store
        first = store.messages.get(store.first_seq)
        state: dict[str, Any] = {
            "messages": len(store),
            "bytes": store.size_bytes,
            "first_seq": store.first_seq,
            "first_ts": rfc3339(first.time_ns) if first is not None else _NEVER,
            "last_seq": store.last_seq,
            "last_ts": rfc3339(store.last_ns) if store.last_ns else _NEVER,
            "consumer_count": len(self.consumers),
        }
        deleted = store.last_seq - store.first_seq + 1 - len(store) if len(store) else 0
        if store.by_subject:
            state["num_subjects"] = len(store.by_subject)
        if deleted:
            state["num_deleted"] = deleted
        return {"config": self.config, "created": rfc3339(self.created_ns), "state": state, "ts": rfc3339(self.clock.wall_ns())}
