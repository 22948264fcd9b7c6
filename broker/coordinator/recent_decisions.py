"""Recent decisions: what became of the approvals that were decided lately, for whoever answers one and asks whether he was the first.

A convenience of the owner that lives: what it does not know any more stands in the run's journal.
"""

from __future__ import annotations

from ...schemas.effects import Outcome

COUNT_MAX = 10_000


class RecentDecisions:
    """Those of one partition, by run and the number of its wait. An approval that was called off has no outcome."""

    def __init__(self) -> None:
        self._outcomes: dict[tuple[str, int], Outcome | None] = {}

    def add(self, run: str, wait: int, outcome: Outcome | None) -> None:
        self._outcomes.pop((run, wait), None)
        self._outcomes[run, wait] = outcome
        if len(self._outcomes) > COUNT_MAX:
            del self._outcomes[next(iter(self._outcomes))]

    def find(self, run: str, wait: int) -> tuple[bool, Outcome | None]:
        """Whether it is known here, and what became of it."""
        key = run, wait
        return key in self._outcomes, self._outcomes.get(key)
