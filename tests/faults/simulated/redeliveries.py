"""What a consumer has given to somebody, and what is to be given again."""

from __future__ import annotations


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

    def clear(self) -> None:
        self._seqs.clear()
