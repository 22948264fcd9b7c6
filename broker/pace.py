"""A pace: work that can wait takes turns at most so often, however many do it, so that it never takes more than a share of the loop."""

from __future__ import annotations

import time


class Pace:
    """`turn_s`: seconds from one turn to the next, of all who keep to this pace together."""

    def __init__(self, turn_s: float) -> None:
        self._turn_s = turn_s
        self._next_at = 0.0

    def next_turn_in_s(self) -> float:
        """Take a place in the queue: how long to sleep until it is due. Turns that nobody took are gone."""
        now = time.monotonic()
        due = max(self._next_at, now)
        self._next_at = due + self._turn_s
        return due - now
