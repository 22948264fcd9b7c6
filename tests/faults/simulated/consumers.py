"""A pull consumer: who is given which message, and which of them is to be given again.

    next_seq      where it looks for the next message that nobody had
    taken         delivered and not acknowledged; comes again after `ack_wait`, or at once after a `-NAK`
    again         sequences that are to be delivered again, before anything new
    asks          who waits for messages, served in turn

Deliveries follow each other at once while there is both an ask and a message.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING, Any

from . import asks
from .asks import Ask
from .redeliveries import Again, Lately, Taken
from .stored import Stored, rfc3339
from .subjects import Reach, any_of, is_literal, matcher, reach_of

if TYPE_CHECKING:
    from .streams import Stream

_NS = 1e9


class Consumer:
    """`config`: with all of the server's defaults. `matches`: true of the subjects whose messages it gives."""

    def __init__(self, stream: Stream, config: dict[str, Any]) -> None:
        self.stream, self.clock = stream, stream.clock
        self.name: str = config["name"]
        self.created_ns = self.clock.wall_ns()
        self.asks: deque[Ask] = deque()
        self.closed = False
        self.in_memory = stream.in_memory or bool(config.get("mem_storage"))
        self.reconfigure(config)
        self.next_seq = self._begins_at()
        self.deliveries = 0
        self.delivered_seq = self.next_seq - 1
        self.floor = self._floor = (0, self.next_seq - 1)
        self.taken: dict[int, Taken] = {}
        self.redelivered: dict[int, int] = {}
        self.again = Again()
        self._lately = Lately()
        self._count()
        self._active_s = self.clock.now_s()
        self._wait_timer: asyncio.TimerHandle | None = None
        self._waits_until_s = float("inf")
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

    def _count(self) -> None:
        """Anew, how many messages it has to give."""
        self.pending = self.stream.store.count_from(self.matches, self.next_seq)
        self._counted_to = self.stream.store.last_seq

    def refiltered(self) -> None:
        """It has other filters: count anew what it has to give."""
        self._count()
        self.stream.refiltered()
        self.serve()

    def _begins_at(self) -> int:
        store, policy = self.stream.store, self.config["deliver_policy"]
        if policy == "by_start_sequence":
            return max(int(self.config["opt_start_seq"]), store.first_seq, 1)
        if policy == "new":
            return store.last_seq + 1
        if policy == "last":
            return max((seqs[-1] for subject, seqs in store.by_subject.items() if self.matches(subject)), default=store.last_seq + 1)
        return max(store.first_seq, 1)

    # --- told by the stream

    def arrived(self, seq: int) -> None:
        """There is a message more that matches."""
        if seq >= self.next_seq and seq > self._counted_to:
            self.pending += 1
            if self.asks:
                self.serve()

    def removed(self, seq: int) -> None:
        """A message that matches is gone."""
        if seq >= self.next_seq:
            self.pending -= 1
        self.gone(seq)

    def gone(self, seq: int) -> None:
        """Who has it need not acknowledge it any more."""
        if seq in self.taken:
            self._forget(seq)
        else:
            self.redelivered.pop(seq, None)

    def purged(self, subject: str) -> None:
        """Many messages are gone: those on a subject, or on all of them."""
        reach = reach_of(self.filters, subject)
        store = self.stream.store
        self._count()
        if reach is Reach.NOTHING:
            return
        left = store.next_of(subject, matcher(subject), 1) if subject and reach is Reach.ALL else None
        first = store.first_seq if not subject or reach is Reach.SOME else left.seq if left is not None else store.last_seq + 1
        self.next_seq = max(self.next_seq, first)
        if self._floor[1] < first:
            self._raise_floor(first, reach is Reach.SOME)
        if not self.taken:
            self.redelivered.clear()
            self._floor = (self.deliveries, self.next_seq - 1)
        self.again.keep_from(self.next_seq)
        if self._is_newer():
            self.delivered_seq, self.floor = self.next_seq - 1, self._floor

    def _is_newer(self) -> bool:
        """Whether what it has in mind may take the place of what it has written down, and shows."""
        low, high = self._floor[1], self.next_seq - 1
        return self.floor[1] <= low <= high and all(low < seq <= high for seq in self.taken)

    def _raise_floor(self, first: int, some: bool) -> None:
        """Nobody has what lies before `first` any more; nor, if `some` of the rest may be gone as well, what is gone."""
        delivery = self._floor[0]
        for seq in sorted(seq for seq in self.taken if seq < first or (some and seq not in self.stream.store.messages)):
            taken = self.taken.pop(seq)
            self.redelivered.pop(seq, None)
            delivery = max(delivery, taken.delivery)
            self.floor = self._moved(self.floor, seq, taken.delivery, self.delivered_seq)
        self._floor = (delivery, first - 1)

    def rewound(self, last_seq: int) -> None:
        """The stream ends earlier than it did."""
        self.next_seq = min(self.next_seq, last_seq + 1)
        self.delivered_seq = min(self.delivered_seq, last_seq)
        for seq in [seq for seq in self.taken if seq > last_seq]:
            self._forget(seq)
        self._count()

    def close(self) -> None:
        """It is deleted: who waits is told."""
        self.closed = True
        for ask in self.asks:
            self.stream.server.say(ask.reply, asks.DELETED)
        self.asks.clear()
        for timer in (self._wait_timer, self._ack_timer):
            if timer is not None:
                timer.cancel()

    # --- asks

    def ask(self, reply: str, question: dict[str, Any]) -> None:
        now_s = self.clock.now_s()
        self._active_s = now_s
        ask = Ask(reply, question, now_s)
        if ask.no_wait:
            waiting = self.pending + len(self.again)
            if not waiting and not ask.expires_s:
                self.stream.server.say(reply, asks.NO_MESSAGES)
                return
            self._look_after_asks()
            if 0 < waiting < sum(each.batch for each in self.asks):
                self.stream.server.say(reply, asks.PENDING)
                return
        if len(self.asks) >= int(self.config.get("max_waiting") or 512):
            if not ask.beat_s:
                self.stream.server.say(reply, asks.TOO_MANY)
            return
        self.asks.append(ask)
        self.serve()

    def serve(self) -> None:
        """Give what there is to those who ask."""
        if self.closed or not self.asks:
            return
        while self.asks:
            found = self._next()
            if found is None:
                break
            message, delivery = found
            ask = self._asker()
            if ask is None:
                self._put_back(message.seq, delivery)
                break
            self._deliver(message, delivery, ask)
        if self.asks:
            stalled = 0 < self._taken_max <= len(self.taken)
            if not stalled and any(ask.no_wait for ask in self.asks):
                self._end_asks_that_do_not_wait()
            self._set_wait_timer()

    def _asker(self) -> Ask | None:
        now_s = self.clock.now_s()
        while self.asks:
            ask = self.asks[0]
            if ask.expired(now_s):
                self._expire(ask)
            elif self.stream.server.listens(ask.reply):
                return ask
            self.asks.popleft()
        return None

    def _end_asks_that_do_not_wait(self) -> None:
        for ask in [ask for ask in self.asks if ask.no_wait and (not ask.expires_s or ask.given)]:
            self.stream.server.say(ask.reply, asks.NO_MESSAGES)
            self.asks.remove(ask)

    def _look_after_asks(self) -> None:
        """End what is over or whose asker is gone, and tell the others that there is nothing yet."""
        now_s = self.clock.now_s()
        server = self.stream.server
        for ask in list(self.asks):
            if ask.expired(now_s):
                self._expire(ask)
                self.asks.remove(ask)
            elif not server.listens(ask.reply):
                self.asks.remove(ask)
            elif ask.beat_s and now_s >= ask.beats_at_s:
                server.say(ask.reply, asks.beat(self.deliveries, self.next_seq - 1))
                ask.beats_at_s = now_s + ask.beat_s

    def _expire(self, ask: Ask) -> None:
        self._active_s = max(self._active_s, ask.expires_s)
        self.stream.server.say(ask.reply, asks.timed_out(ask))

    def _set_wait_timer(self) -> None:
        next_s = min((ask.next_s() for ask in self.asks), default=float("inf"))
        if next_s >= self._waits_until_s or next_s == float("inf"):
            return
        if self._wait_timer is not None:
            self._wait_timer.cancel()
        self._waits_until_s = next_s
        self._wait_timer = self.clock.later(next_s - self.clock.now_s(), self._waited)

    def _waited(self) -> None:
        self._wait_timer, self._waits_until_s = None, float("inf")
        self._look_after_asks()
        self._set_wait_timer()

    # --- deliveries

    def _next(self) -> tuple[Stored, int] | None:
        """The next message to deliver, and which delivery of it this will be."""
        store = self.stream.store
        while self.again:
            seq = self.again.pop()
            times = self.redelivered.get(seq, 0) + 1
            message = store.messages.get(seq)
            if message is None:
                self._forget(seq)
                continue
            self.redelivered[seq] = times
            return message, times + 1
        if 0 < self._taken_max <= len(self.taken):
            return None
        if not self.pending:
            self.next_seq = max(self.next_seq, store.last_seq + 1)
            return None
        found = store.next_of(self._one_filter, self.matches, self.next_seq)
        if found is None:
            self.next_seq = max(self.next_seq, store.last_seq + 1)
            return None
        self.next_seq = found.seq + 1
        self.pending -= 1
        return found, 1

    def _put_back(self, seq: int, delivery: int) -> None:
        if delivery == 1:
            self.next_seq = seq
            self.pending += 1
        else:
            self._credit(seq)
            self.again.put(seq)

    def _deliver(self, message: Stored, delivery: int, ask: Ask) -> None:
        now_s = self.clock.now_s()
        ask.batch -= 1
        ask.given += 1
        self.asks.popleft()
        if ask.batch > 0:
            self.asks.append(ask)  # served in turn
        if ask.beat_s:
            ask.beats_at_s = now_s + ask.beat_s
        self.deliveries += 1
        self.delivered_seq = max(self.delivered_seq, message.seq)
        facts = (self.stream.name, self.name, delivery, message.seq, self.deliveries, message.time_ns, max(self.pending, 0))
        if self.acks:
            self._take(message.seq, now_s)
        else:
            self.floor = self._floor = (self.deliveries, message.seq)
        self._active_s = now_s
        if delivery == 1:
            self._lately.delivered(now_s, message.seq, self.deliveries)
        self.stream.server.deliver(self, ask.reply, message, "$JS.ACK.%s.%s.%d.%d.%d.%d.%d" % facts)

    def _take(self, seq: int, now_s: float) -> None:
        taken = self.taken.get(seq)
        if taken is None:
            self.taken[seq] = Taken(self.deliveries, now_s)
        else:
            taken.at_s = now_s  # it keeps the number of its first delivery
        if self._ack_timer is None:
            self._ack_timer = self.clock.later(self._ack_wait_s, self._check_acks)

    # --- acknowledgements

    def acknowledged(self, seq: int, word: bytes) -> None:
        if word.startswith((b"+ACK", b"+TERM", b"+NXT")) or not word:
            self._done(seq)
        elif word.startswith(b"-NAK"):
            self._given_back(seq, word[4:].strip())
        elif word.startswith(b"+WPI") and seq in self.taken:
            self.taken[seq].at_s = self.clock.now_s()

    def _done(self, seq: int) -> None:
        if self.closed or seq >= self.next_seq or not self.acks:
            return
        was_full = 0 < self._taken_max <= len(self.taken)
        if seq in self.taken:
            self._lately.acknowledged(self.clock.now_s(), seq, self.taken[seq].delivery)
        self._forget(seq)
        if self.stream.is_workqueue:
            self.stream.remove(seq)
        if was_full:
            self.serve()

    def _given_back(self, seq: int, delay: bytes) -> None:
        taken = self.taken.get(seq)
        if taken is None:
            return
        delay_s = _delay_s(delay)
        if delay_s is not None:
            self.again.remove(seq)
            taken.at_s = self.clock.now_s() - self._ack_wait_s + delay_s
            self._check_acks_in(0.01)
            return
        self.again.put(seq)
        self.serve()

    def redeliver(self, seq: int) -> bool:
        """As if its time were over now. False: nobody has it."""
        if seq not in self.taken or seq in self.again:
            return False
        self.again.put(seq)
        self.serve()
        return True

    def _forget(self, seq: int) -> None:
        """Nobody has it any more."""
        taken = self.taken.pop(seq, None)
        self.redelivered.pop(seq, None)
        self.again.remove(seq)
        if taken is None:
            return
        self.floor = self._moved(self.floor, seq, taken.delivery, self.delivered_seq)
        self._floor = self._moved(self._floor, seq, taken.delivery, self.next_seq - 1)

    def _moved(self, floor: tuple[int, int], seq: int, delivery: int, last_seq: int) -> tuple[int, int]:
        """Where a floor is after an acknowledgement."""
        if not self.taken:
            return self.deliveries, last_seq
        if delivery != floor[0] + 1:
            return floor
        oldest = next((each for each in range(seq + 1, last_seq + 1) if each in self.taken), 0)
        return (self.taken[oldest].delivery - 1, oldest - 1) if oldest else (delivery, seq)

    def _credit(self, seq: int) -> None:
        times = self.redelivered.get(seq, 0) - 1
        if times > 0:
            self.redelivered[seq] = times
        else:
            self.redelivered.pop(seq, None)

    def _check_acks_in(self, delay_s: float) -> None:
        if self._ack_timer is not None:
            self._ack_timer.cancel()
        self._ack_timer = self.clock.later(delay_s, self._check_acks)

    def _check_acks(self) -> None:
        """Put what nobody acknowledged in time among what comes again."""
        self._ack_timer = None
        now_s = self.clock.now_s()
        over = sorted(seq for seq, taken in self.taken.items() if now_s - taken.at_s >= self._ack_wait_s and seq not in self.again)
        if over:
            moved_s = now_s - self.taken[over[0]].at_s
            for seq in over:
                self.taken[seq].at_s += moved_s
                self.again.put(seq)
        if self.taken:
            waits = [left for taken in self.taken.values() if (left := self._ack_wait_s - (now_s - taken.at_s)) > 0]
            self._check_acks_in(min(waits, default=self._ack_wait_s))
        if over:
            self.serve()

    # --- the end of consumers that nobody uses

    def _watch_inactivity(self) -> None:
        if self._inactive_s:
            self.clock.later(self._inactive_s, self._check_inactivity)

    def _check_inactivity(self) -> None:
        if self.closed:
            return
        self._look_after_asks()
        now_s = self.clock.now_s()
        left_s = self._inactive_s if self.asks else self._active_s + self._inactive_s - now_s
        busy_s = max((taken.at_s + self._ack_wait_s + self._inactive_s - now_s for taken in self.taken.values()), default=0.0)
        if left_s > 0 or busy_s > 0:
            self.clock.later(left_s if left_s > 0 else busy_s, self._check_inactivity)
        else:
            self.stream.drop_consumer(self.name)

    # --- looking, and starting anew

    def recover(self) -> None:
        """As a server finds it that starts anew: nobody asks."""
        self.asks.clear()
        self._wait_timer = self._ack_timer = None
        self._waits_until_s = float("inf")
        self._active_s = self.clock.now_s()
        if self.taken:
            self._check_acks_in(0.0)
        self._watch_inactivity()

    def rewind(self, seconds: float) -> None:
        """Forget the deliveries and acknowledgements of the last seconds, as what was not written to the disk yet."""
        for event in self._lately.since(self.clock.now_s() - seconds):
            if event.is_ack and event.seq in self.stream.store.messages:
                self.taken[event.seq] = Taken(event.delivery, event.at_s)
            elif not event.is_ack:
                self.taken.pop(event.seq, None)
                self.redelivered.pop(event.seq, None)
                self.again.remove(event.seq)
                self.next_seq, self.deliveries = event.seq, event.delivery - 1
        self.delivered_seq = min(self.delivered_seq, self.next_seq - 1)
        oldest = min(self.taken, default=self.next_seq)
        delivery = self.taken[oldest].delivery if oldest in self.taken else self.deliveries + 1
        self.floor = self._floor = (min(self.floor[0], delivery - 1), min(self.floor[1], oldest - 1))
        self._count()
        if self.taken:
            self._check_acks_in(0.0)
        self.serve()

    def info(self) -> dict[str, Any]:
        self._look_after_asks()
        return {
            "stream_name": self.stream.name,
            "name": self.name,
            "created": rfc3339(self.created_ns),
            "config": self.config,
            "delivered": {"consumer_seq": self.deliveries, "stream_seq": self.delivered_seq},
            "ack_floor": {"consumer_seq": self.floor[0], "stream_seq": self.floor[1]},
            "num_ack_pending": len(self.taken),
            "num_redelivered": len(self.redelivered),
            "num_waiting": len(self.asks),
            "num_pending": max(self.pending, 0),
            "ts": rfc3339(self.clock.wall_ns()),
        }


def _delay_s(word: bytes) -> float | None:
    """Of what follows `-NAK`; None: at once."""
    if not word.startswith(b"{"):
        return None
    try:
        return float(json.loads(word).get("delay", 0)) / _NS
    except (ValueError, AttributeError):
        return None
