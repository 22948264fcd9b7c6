"""Offsets: how far one partition may be committed.

Records are confirmed in any order. What may be committed is the place of the first one that is not confirmed, so that whoever reads on from
there sees again everything whose event is not on disk for certain, and nothing is skipped.
"""

from __future__ import annotations


class Offsets:
    """Of one partition, from its assignment until it is revoked.

    An assignment that comes back gets a new one: what is confirmed late to an old one changes nothing.
    """

    __slots__ = ("_next", "_open", "_taken", "committed", "revoked")

    def __init__(self) -> None:
        self.revoked = False
        self.committed: int | None = None
        """What was last committed for it, by this process."""
        self._open: dict[int, None] = {}  # in the order in which they were fired, which is that of their offsets
        self._next: int | None = None
        self._taken: int | None = None

    @property
    def open(self) -> int:
        """Records that were fired and are not confirmed."""
        return len(self._open)

    @property
    def idle(self) -> bool:
        """Nothing was taken that is not confirmed: wherever the consumer stands, it may be committed."""
        return not self._open and self._taken == self._next

    def taken(self, offset: int) -> None:
        """The last of some records that the consumer has handed out; they are going to be fired."""
        self._taken = offset + 1

    def fired(self, offset: int) -> None:
        """The record at this place is on its way. Called in the order of offsets; gaps are fine (compacted topics, transactions)."""
        self._open[offset] = None
        self._next = offset + 1

    def confirmed(self, offset: int) -> None:
        self._open.pop(offset, None)

    def committable(self) -> int | None:
        """The place to read on from; None while nothing was fired."""
        return next(iter(self._open), self._next)
