"""What a consumer has given to somebody, and what is to be given again."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

KEPT_S = 3.0


class Taken:
    """Delivered and not acknowledged. `delivery`: the number of its first delivery. `at_s`: when its time began."""

    __slots__ = ("at_s", "delivery")

    def __init__(self, delivery: int, at_s: float) -> None:
        self.delivery, self.at_s = delivery, at_s


class Again:
    """Sequences to deliver again, each once, in the order in which they were put."""

    def __init__(self) -> None:
        self._seqs: dict[int, None] = {}

    def __len__(self) -> int:
        return len(self._seqs)

    def __contains__(self, seq: int) -> bool:
        return seq in self._seqs

    def put(self, seq: int) -> None:
        self._seqs.setdefault(seq)

    def pop(self) -> int:
        seq = next(iter(self._seqs))
        del self._seqs[seq]
        return seq

    def remove(self, seq: int) -> None:
        self._seqs.pop(seq, None)

    def keep_from(self, seq: int) -> None:
        """Those before it are forgotten."""
        self._seqs = {each: None for each in self._seqs if each >= seq}


@dataclass(frozen=True, slots=True)
class Event:
    """`delivery`: the number of the message's first delivery."""

    at_s: float
    seq: int
    delivery: int
    is_ack: bool


class Lately:
    """What a consumer did in its last seconds, which it may be made to forget."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()

    def delivered(self, at_s: float, seq: int, delivery: int) -> None:
        self._add(Event(at_s, seq, delivery, False))

    def acknowledged(self, at_s: float, seq: int, delivery: int) -> None:
        self._add(Event(at_s, seq, delivery, True))

    def since(self, begin_s: float) -> Iterator[Event]:
        """The newest first; they are forgotten here, too."""
        while self._events and self._events[-1].at_s > begin_s:
            yield self._events.pop()

    def _add(self, event: Event) -> None:
        self._events.append(event)
        while self._events[0].at_s < event.at_s - KEPT_S:
            self._events.popleft()
