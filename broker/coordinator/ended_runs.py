"""Ids of runs that ended lately, so that an event which comes once more starts nothing.

Kept as 64-bit hashes in generations. Each snapshot holds the latest generation as far as it has come; a generation is closed when it is
large or old enough. The oldest go when there are more than `most` ids, or when they are older than the idempotency window. An event
that is repeated after that starts a new run: docs/reliability.md says so.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b

WINDOW_MS = 60 * 60 * 1_000
"""How long an idempotency key is remembered after its run has ended."""
GENERATION_MAX = 8_192
GENERATION_MS = WINDOW_MS // 12


@dataclass(slots=True)
class Generation:
    """`segment` is the latest snapshot segment that holds it."""

    number: int
    began_ms: int
    segment: int = 0
    ids: array[int] = field(default_factory=lambda: array("Q"))


class EndedRuns:
    """`most`: ids kept at most; each costs about 80 bytes."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._ids: set[int] = set()
        self._generations: deque[Generation] = deque([Generation(1, 0)])
        self._some_twice = False
        """Whether an id may be in more than one generation: that of a run that was reopened, and has ended again."""

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, run: str) -> bool:
        return _hash(run) in self._ids

    def add(self, run: str) -> None:
        id = _hash(run)
        self._some_twice |= id in self._ids
        self._ids.add(id)
        self._generations[-1].ids.append(id)

    def write(self, segment: int, now_ms: int) -> tuple[int, int, bytes]:
        """The latest generation for this segment: number, when it began, the ids as bytes. Begins another one if it is large or old."""
        current = self._generations[-1]
        current.segment, current.began_ms = segment, current.began_ms or now_ms
        data = current.ids.tobytes()
        if len(current.ids) >= GENERATION_MAX or now_ms - current.began_ms >= GENERATION_MS:
            self._generations.append(Generation(current.number + 1, now_ms))
        return (current.number, current.began_ms, data)

    def adopt(self, segment: int, number: int, began_ms: int, data: bytes) -> None:
        """Remember what a segment holds. What it holds of a generation replaces what an earlier segment held of it."""
        ids = array("Q", data[: len(data) // 8 * 8])
        known = len(self._ids)
        self._ids.update(ids)
        again = 0
        if self._generations[-1].number >= number or not self._generations[-1].ids:
            again = len(self._generations.pop().ids)
        self._some_twice |= len(self._ids) - known < len(ids) - again
        self._generations.append(Generation(number, began_ms, segment, ids))

    def forget_old(self, now_ms: int) -> None:
        while len(self._generations) > 1 and (self._generations[0].began_ms < now_ms - WINDOW_MS or len(self._ids) > self.most):
            self._ids.difference_update(self._generations.popleft().ids)
            for generation in self._generations if self._some_twice else ():
                self._ids.update(generation.ids)

    def segments(self) -> set[int]:
        """The segments that are needed for the ids that are still remembered."""
        return {generation.segment for generation in self._generations}


def life_of(run: str, after: int) -> str:
    """Under what it is remembered that a run's life has ended which began behind the first `after` records of its journal."""
    return f"{run}#{after}"


def _hash(run: str) -> int:
    """64 bits of a cryptographic hash. The id of a run that an event started ends with such bits already (`subjects.run_id`)."""
    if run[-17:-16] == "-":
        try:
            return int(run[-16:], 16)
        except ValueError:
            pass
    return int.from_bytes(blake2b(run.encode(), digest_size=8).digest(), "little")
