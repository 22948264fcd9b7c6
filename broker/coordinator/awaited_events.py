"""Awaited events: which runs of a partition may be waiting for an event, found by its name and by what they correlate it with.

    name → paths → hash of the texts at these paths → runs

So an event to a hundred thousand waiting runs touches those that it is for, and the others go on resting. Runs that correlate with nothing
are in one entry together.

Guarantees: every run whose state has a matching wait is among the candidates. It is no state: it is built from the states of the runs and
tells only whom to ask. A candidate may turn out not to wait (two texts with one hash), so whoever asks looks at its state.
"""

from __future__ import annotations

from ...schemas.errors import SelectorError
from ...schemas.payload import Payload
from ...schemas.ref import ValueElsewhere
from ..engine.event_waits import Correlation, texts_at


class AwaitedEvents:
    """Those of one partition. A wait that is there may be added again."""

    def __init__(self) -> None:
        self._names: dict[str, dict[tuple[str, ...], dict[int, str | set[str]]]] = {}

    def add(self, run: str, event: str, correlation: Correlation) -> None:
        paths, key = _place(correlation)
        runs = self._names.setdefault(event, {}).setdefault(paths, {})
        there = runs.get(key)
        if there is None:
            runs[key] = run  # nearly always the only one, and a set costs 200 bytes
        elif isinstance(there, set):
            there.add(run)
        elif there != run:
            runs[key] = {there, run}

    def discard(self, run: str, event: str, correlation: Correlation) -> None:
        """Forget a wait; nothing happens if it is not there."""
        paths, key = _place(correlation)
        groups = self._names.get(event, {})
        runs = groups.get(paths, {})
        there = runs.get(key)
        if isinstance(there, set):
            there.discard(run)
        if there == run or there == set():
            del runs[key]
        if paths in groups and not runs:
            del groups[paths]
            if not groups:
                del self._names[event]

    def candidates(self, event: str, payload: Payload) -> list[str]:
        """The runs that may be waiting for this event, in an order that depends on nothing but their ids."""
        found: set[str] = set()
        for paths, runs in self._names.get(event, {}).items():
            try:
                there = [runs.get(hash(texts_at(payload, paths)))]
            except (ValueElsewhere, SelectorError):
                there = list(runs.values())  # each of them has to be told why it waits in vain
            for each in there:
                found.update(each if isinstance(each, set) else () if each is None else (each,))
        return sorted(found)

    def __len__(self) -> int:
        """The number of entries."""
        return sum(len(runs) for groups in self._names.values() for runs in groups.values())


def _place(correlation: Correlation) -> tuple[tuple[str, ...], int]:
    """Where a wait is found. The hash is this process's own; nothing of it leaves memory."""
    return tuple(path for path, _ in correlation), hash(tuple(text for _, text in correlation))
