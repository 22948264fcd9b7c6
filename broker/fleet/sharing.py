"""Sharing partitions: how many each coordinator should own, and which to take or give up. Pure functions, the same answer for everybody.

Members are put in the order of their ids; each is due the same number of partitions, and the first ones one more if it does not come out
even. Nothing moves that does not have to: who has too many gives up the highest, who has too few takes what is free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable


def due(me: str, members: Iterable[str], partitions: int) -> int:
    """How many of the partitions `me` is due. The members are all coordinators that share them, `me` among them or not."""
    order = sorted({me, *members})
    whole, rest = divmod(partitions, len(order))
    return whole + (1 if order.index(me) < rest else 0)


def to_release(held: Collection[int], due: int) -> list[int]:
    """What to give up, highest first."""
    return sorted(held, reverse=True)[: max(0, len(held) - due)]


def to_claim(me: str, members: Iterable[str], partitions: int, available: Collection[int], wanted: int) -> list[int]:
    """What to try to get. Each member begins to look at another place, so that those who start together do not all want the same."""
    order = sorted({me, *members})
    first = order.index(me) * partitions // len(order)
    return sorted(available, key=lambda partition: (partition - first) % partitions)[: max(0, wanted)]
