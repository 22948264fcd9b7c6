"""Families: the runs of sub-flows that are open in a partition, counted by the run at the top that all of them come of.

A sub-flow's run hands its values up and is handed values from above, and a detached one outlives the run that started it. So nothing of a
family is over before all of it is. Members are in all partitions; what they have in common is how their ids begin.
"""

from __future__ import annotations

from collections import Counter

from ..payloads.run_states import family


class Families:
    """Those of one partition. A run at the top is not counted: its owner knows whether it is open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def begun(self, run: str) -> None:
        if "." in run:
            self._open[family(run)] += 1

    def ended(self, run: str) -> None:
        if "." in run:
            top = family(run)
            self._open[top] -= 1
            if not self._open[top]:
                del self._open[top]

    def __contains__(self, run: str) -> bool:
        """Whether a sub-flow's run of this run's family is open here."""
        return run in self._open
