"""The pauses between the lives of a source that fails: each twice as long as the one before, up to a limit, and none like another.

A source that has lived for a while was well, whatever became of those before it: after it the pauses begin anew.
"""

from __future__ import annotations

import random

FIRST_S, MAX_S = 0.1, 30.0
BROKEN_S = 10.0
"""At least, after a failure that somebody has to do something about first."""
LIVED_S = 10.0
SPREAD = 0.2


class Pauses:
    def __init__(self) -> None:
        self._next_s = FIRST_S

    def after(self, lived_s: float, *, broken: bool = False) -> float:
        """How long to wait after a source that lived for so long."""
        pause_s = FIRST_S if lived_s > LIVED_S else self._next_s
        self._next_s = min(2 * pause_s, MAX_S)
        return max(pause_s, BROKEN_S * broken) * random.uniform(1 - SPREAD, 1 + SPREAD)
