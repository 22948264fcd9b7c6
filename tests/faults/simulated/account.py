"""A consumer's account: what it has delivered, who has not acknowledged yet, and up to where all is done.

    next_seq   where it looks for the next message that nobody had
    taken      delivered and not acknowledged
    again      of these, what is to be delivered again before anything new
    floor      delivery and sequence up to which everything is acknowledged, as it stands on the disk and is shown

The real server keeps a second floor in memory, which runs ahead where messages were skipped, and takes the place of the first after a
purge. It is kept here as well, since clients see its traces.
"""

from __future__ import annotations

from collections.abc import Container

from .redeliveries import Again, Lately, Taken

Place = tuple[int, int]


class Account:
    """`deliveries`: how many there were. `redelivered`: how often a message came again."""

    def __init__(self, next_seq: int) -> None:
        self.next_seq = next_seq
        self.deliveries = 0
        self.delivered_seq = next_seq - 1
        self.floor: Place = (0, next_seq - 1)
        self._floor_in_memory: Place = self.floor
        self.taken: dict[int, Taken] = {}
        self.redelivered: dict[int, int] = {}
        self.again = Again()
        self._lately = Lately()

    # --- deliveries

    def deliver(self, seq: int, delivery: int, now_s: float, acks: bool) -> None:
        """`acks`: it has to be acknowledged."""
        self.deliveries += 1
        self.delivered_seq = max(self.delivered_seq, seq)
        if not acks:
            self.floor = self._floor_in_memory = (self.deliveries, seq)
            return
        if delivery == 1:
            self._lately.delivered(now_s, seq, self.deliveries)
        taken = self.taken.get(seq)
        if taken is None:
            self.taken[seq] = Taken(self.deliveries, now_s)
        else:
            taken.at_s = now_s  # it keeps the number of its first delivery

    def comes_again(self, seq: int) -> int:
        """Which delivery of the message the next one is."""
        self.redelivered[seq] = self.redelivered.get(seq, 0) + 1
        return self.redelivered[seq] + 1

    def credit(self, seq: int) -> None:
        """A message that was to come again did not."""
        times = self.redelivered.pop(seq) - 1
        if times:
            self.redelivered[seq] = times
        self.again.put(seq)

    def overdue(self, now_s: float, wait_s: float) -> bool:
        """Put what nobody acknowledged in time among what comes again. Whether there was any."""
        over = sorted(seq for seq, taken in self.taken.items() if now_s - taken.at_s >= wait_s and seq not in self.again)
        if not over:
            return False
        moved_s = now_s - self.taken[over[0]].at_s
        for seq in over:
            self.taken[seq].at_s += moved_s
            self.again.put(seq)
        return True

    # --- acknowledgements

    def acknowledge(self, seq: int, now_s: float) -> None:
        if seq in self.taken:
            self._lately.acknowledged(now_s, seq, self.taken[seq].delivery)
        self.forget(seq)

    def forget(self, seq: int) -> None:
        """Nobody has it any more."""
        taken = self.taken.pop(seq, None)
        self.redelivered.pop(seq, None)
        self.again.remove(seq)
        if taken is not None:
            if taken.delivery > self.floor[0]:  # else a purge has gone past it
                self.floor = self._moved(self.floor, seq, taken.delivery, self.delivered_seq)
            self._floor_in_memory = self._moved(self._floor_in_memory, seq, taken.delivery, self.next_seq - 1)

    def _moved(self, floor: Place, seq: int, delivery: int, last_seq: int) -> Place:
        """Where a floor is after an acknowledgement."""
        if not self.taken:
            return self.deliveries, last_seq
        if delivery != floor[0] + 1:
            return floor
        oldest = next((each for each in range(seq + 1, last_seq + 1) if each in self.taken), 0)
        return (self.taken[oldest].delivery - 1, oldest - 1) if oldest else (delivery, seq)

    # --- messages that are gone

    def purge(self, first: int, left: Container[int] | None) -> None:
        """Nothing that it gives is there before `first` any more. `left`: what is there at all, if of the rest some may be gone, too."""
        self.next_seq = max(self.next_seq, first)
        if self._floor_in_memory[1] < first:
            self._raise_floor(first, left)
        if not self.taken:
            self.redelivered.clear()
            self._floor_in_memory = (self.deliveries, self.next_seq - 1)
        self.again.keep_from(self.next_seq)
        low, high = self._floor_in_memory[1], self.next_seq - 1
        if self.floor[1] <= low <= high and all(low < seq <= high for seq in self.taken):  # else the server refuses to write it
            self.delivered_seq, self.floor = high, self._floor_in_memory

    def _raise_floor(self, first: int, left: Container[int] | None) -> None:
        delivery = self._floor_in_memory[0]
        for seq in sorted(seq for seq in self.taken if seq < first or (left is not None and seq not in left)):
            taken = self.taken.pop(seq)
            self.redelivered.pop(seq, None)
            delivery = max(delivery, taken.delivery)
            self.floor = self._moved(self.floor, seq, taken.delivery, self.delivered_seq)
        self._floor_in_memory = (delivery, first - 1)

    def cut_off(self, last_seq: int) -> None:
        """The stream ends earlier than it did."""
        self.next_seq = min(self.next_seq, last_seq + 1)
        self.delivered_seq = min(self.delivered_seq, last_seq)
        for seq in [seq for seq in self.taken if seq > last_seq]:
            self.forget(seq)

    def rewind(self, begin_s: float, left: Container[int]) -> None:
        """Forget the deliveries and acknowledgements since then, as what was not written to the disk yet. `left`: the messages there are."""
        for event in self._lately.since(begin_s):
            if not event.is_ack:
                self.taken.pop(event.seq, None)
                self.redelivered.pop(event.seq, None)
                self.again.remove(event.seq)
                self.next_seq, self.deliveries = min(self.next_seq, event.seq), event.delivery - 1
            elif event.seq in left:
                self.taken[event.seq] = Taken(event.delivery, event.at_s)
        self.delivered_seq = min(self.delivered_seq, self.next_seq - 1)
        oldest = min(self.taken, default=self.next_seq)
        delivery = self.taken[oldest].delivery if oldest in self.taken else self.deliveries + 1
        self.floor = self._floor_in_memory = (min(self.floor[0], delivery - 1), min(self.floor[1], oldest - 1))
