"""A pull consumer: brings together what its stream has, what its account says, and who asks.

Deliveries follow each other at once while there is both an ask and a message. What is not acknowledged within `ack_wait` comes again; so
does what is given back (`-NAK`), at once or after a delay. `max_deliver` is kept and not enforced: nothing of jetfleet sets it.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from .account import Account
from .stored import Stored, rfc3339
from .subjects import Reach, any_of, is_literal, matcher, reach_of
from .waiting import Waiting

if TYPE_CHECKING:
    from .streams import Stream

_NS = 1e9
_SOON_S = 0.01


class Consumer:
    """`config`: with all of the server's defaults. `matches`: true of the subjects whose messages it gives. `acks`: they are acknowledged."""

    def __init__(self, stream: Stream, config: dict[str, Any]) -> None:
        self.stream, self.clock = stream, stream.clock
        self.name: str = config["name"]
        self.created_ns = stream.server.table.born_ns()
        self.closed = False
        self.in_memory = stream.in_memory or bool(config.get("mem_storage"))
        self.reconfigure(config)
        self._account = Account(self._begins_at())
        self._waiting = Waiting(stream.server, lambda: (self._account.deliveries, self._account.next_seq - 1))
        self._count()
        self._ack_timer: asyncio.TimerHandle | None = None
        self._watch_inactivity()

    def reconfigure(self, config: dict[str, Any]) -> None:
        self.config = config
        self.filters: list[str] = list(config.get("filter_subjects") or filter(None, [config.get("filter_subject")]))
        self.matches = any_of(self.filters)
        self._one_filter = self.filters[0] if len(self.filters) == 1 and is_literal(self.filters[0]) else ""
        self.acks = config["ack_policy"] != "none"
        self._ack_wait_s = int(config.get("ack_wait") or 30e9) / _NS
        self._taken_max = int(config.get("max_ack_pending") or 0)
        self._inactive_s = int(config.get("inactive_threshold") or 0) / _NS

    def refiltered(self) -> None:
        """It has other filters."""
        self._count()
        self.stream.refiltered()
        self.serve()

    def _begins_at(self) -> int:
        store, policy = self.stream.store, self.config["deliver_policy"]
        if policy == "by_start_sequence":
            return max(int(self.config["opt_start_seq"]), store.first_seq, 1)
        if policy == "new":
            return store.last_seq + 1
        return max(store.first_seq, 1)

    def _count(self) -> None:
        """Anew, how many messages it has to give."""
        self._pending = self.stream.store.count_from(self.matches, self._account.next_seq)
        self._counted_to = self.stream.store.last_seq

    # --- told by the stream

    def arrived(self, seq: int) -> None:
        """There is a message more that matches."""
        if seq >= self._account.next_seq and seq > self._counted_to:
            self._pending += 1
            if self._waiting:
                self.serve()

    def removed(self, seq: int) -> None:
        """A message that matches is gone."""
        if seq >= self._account.next_seq:
            self._pending -= 1
        self.gone(seq)

    def gone(self, seq: int) -> None:
        """Who has it need not acknowledge it any more."""
        if seq in self._account.taken:
            self._account.forget(seq)
        else:
            self._account.redelivered.pop(seq, None)

    def purged(self, subject: str) -> None:
        """Many messages are gone: those on a subject, or on all of them ("")."""
        reach, store = reach_of(self.filters, subject), self.stream.store
        if reach is Reach.ALL and subject:
            found = store.next_of(subject, matcher(subject), 1)
            self._account.purge(store.last_seq + 1 if found is None else found.seq, None)
        elif reach is not Reach.NOTHING:
            self._account.purge(store.first_seq, store.messages if reach is Reach.SOME else None)
        self._count()

    def cut_off(self) -> None:
        """The stream ends earlier than it did."""
        self._account.cut_off(self.stream.store.last_seq)
        self._count()

    def close(self) -> None:
        """It is deleted."""
        self.closed = True
        self._waiting.close()
        if self._ack_timer is not None:
            self._ack_timer.cancel()

    # --- deliveries

    def ask(self, reply: str, question: dict[str, Any]) -> None:
        """Somebody wants messages."""
        messages = self._pending + len(self._account.again)
        if self._waiting.take(reply, question, messages, int(self.config.get("max_waiting") or 512)):
            self.serve()

    def serve(self) -> None:
        """Give what there is to those who ask."""
        waiting = self._waiting
        if self.closed or not waiting:
            return
        while waiting:
            found = self._next()
            if found is None:
                break
            message, delivery = found
            ask = waiting.next()
            if ask is None:
                self._put_back(message.seq, delivery)
                break
            waiting.served(ask)
            self._deliver(message, delivery, ask.reply)
        if waiting:
            waiting.rest(self._is_full)

    @property
    def _is_full(self) -> bool:
        """Whether so much is out that it gives nothing new."""
        return 0 < self._taken_max <= len(self._account.taken)

    def _next(self) -> tuple[Stored, int] | None:
        """The next message to deliver, and which delivery of it this will be."""
        account, store = self._account, self.stream.store
        while account.again:
            seq = account.again.pop()
            message = store.messages.get(seq)
            if message is not None:
                return message, account.comes_again(seq)
            account.forget(seq)
        if self._is_full:
            return None
        found = store.next_of(self._one_filter, self.matches, account.next_seq) if self._pending else None
        if found is None:
            account.next_seq = max(account.next_seq, store.last_seq + 1)
            return None
        account.next_seq = found.seq + 1
        self._pending -= 1
        return found, 1

    def _put_back(self, seq: int, delivery: int) -> None:
        if delivery == 1:
            self._account.next_seq = seq
            self._pending += 1
        else:
            self._account.credit(seq)

    def _deliver(self, message: Stored, delivery: int, reply: str) -> None:
        account = self._account
        account.deliver(message.seq, delivery, self.clock.now_s(), self.acks)
        if self.acks and self._ack_timer is None:
            self._check_acks_in(self._ack_wait_s)
        facts = f"{delivery}.{message.seq}.{account.deliveries}.{message.time_ns}.{max(self._pending, 0)}"
        self.stream.server.deliver(self, reply, message, f"$JS.ACK.{self.stream.name}.{self.name}.{facts}")

    # --- acknowledgements

    def acknowledged(self, seq: int, word: bytes) -> None:
        if not word or word.startswith((b"+ACK", b"+TERM", b"+NXT")):
            self._done(seq)
        elif word.startswith(b"-NAK"):
            self._given_back(seq, _delay_s(word[4:].strip()))
        elif word.startswith(b"+WPI") and seq in self._account.taken:
            self._account.taken[seq].at_s = self.clock.now_s()

    def _done(self, seq: int) -> None:
        if self.closed or seq >= self._account.next_seq or not self.acks:
            return
        was_full = self._is_full
        self._account.acknowledge(seq, self.clock.now_s())
        if self.stream.is_workqueue:
            self.stream.remove(seq)
        if was_full:
            self.serve()

    def _given_back(self, seq: int, delay_s: float | None) -> None:
        taken = self._account.taken.get(seq)
        if taken is None:
            return
        if delay_s is None:
            self._account.again.put(seq)
            self.serve()
            return
        self._account.again.remove(seq)
        taken.at_s = self.clock.now_s() - self._ack_wait_s + delay_s
        self._check_acks_in(_SOON_S)

    def redeliver(self, seq: int) -> bool:
        """As if its time were over now. False: nobody has it."""
        if seq not in self._account.taken or seq in self._account.again:
            return False
        self._account.again.put(seq)
        self.serve()
        return True

    def _check_acks_in(self, delay_s: float) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        self._ack_timer = self.clock.later(delay_s, self._check_acks)

    def _check_acks(self) -> None:
        self._ack_timer = None
        now_s = self.clock.now_s()
        comes_again = self._account.overdue(now_s, self._ack_wait_s)
        if self._account.taken:
            left = [self._ack_wait_s - (now_s - taken.at_s) for taken in self._account.taken.values()]
            self._check_acks_in(min((each for each in left if each > 0), default=self._ack_wait_s))
        if comes_again:
            self.serve()

    # --- the end of consumers that nobody uses

    def _watch_inactivity(self) -> None:
        if self._inactive_s:
            self.clock.later(self._inactive_s, self._check_inactivity)

    def _check_inactivity(self) -> None:
        if self.closed:
            return
        self._waiting.look()
        now_s = self.clock.now_s()
        left_s = self._inactive_s if self._waiting else self._waiting.active_s + self._inactive_s - now_s
        taken = self._account.taken.values()
        busy_s = max((each.at_s + self._ack_wait_s + self._inactive_s - now_s for each in taken), default=0.0)
        if left_s > 0 or busy_s > 0:
            self.clock.later(left_s if left_s > 0 else busy_s, self._check_inactivity)
        else:
            self.stream.drop_consumer(self.name)

    # --- looking, and starting anew

    def info(self) -> dict[str, Any]:
        self._waiting.look()
        account = self._account
        return {
            "stream_name": self.stream.name,
            "name": self.name,
            "created": rfc3339(self.created_ns),
            "config": self.config,
            "delivered": {"consumer_seq": account.deliveries, "stream_seq": account.delivered_seq},
            "ack_floor": {"consumer_seq": account.floor[0], "stream_seq": account.floor[1]},
            "num_ack_pending": len(account.taken),
            "num_redelivered": len(account.redelivered),
            "num_waiting": len(self._waiting),
            "num_pending": max(self._pending, 0),
            "ts": rfc3339(self.clock.wall_ns()),
        }

    def recover(self) -> None:
        """As a server finds it that starts anew."""
        self._waiting.recover()
        self._ack_timer = None
        if self._account.taken:
            self._check_acks_in(0.0)
        self._watch_inactivity()

    def rewind(self, seconds: float) -> None:
        """Forget the deliveries and acknowledgements of the last seconds."""
        self._account.rewind(self.clock.now_s() - seconds, self.stream.store.messages)
        self._count()
        if self._account.taken:
            self._check_acks_in(0.0)
        self.serve()


def _delay_s(word: bytes) -> float | None:
    """Of what follows `-NAK`; None: at once."""
    if not word.startswith(b"{"):
        return None
    try:
        return float(json.loads(word).get("delay", 0)) / _NS
    except (ValueError, AttributeError):
        return None
