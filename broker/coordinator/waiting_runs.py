"""Waiting runs: which runs of a partition wait for people and for signals, so that lists need not look at all the others.

Kept from the effects by which runs ask and ask no more, in silence too, and from the entries of a snapshot: a run that rests goes on
resting. Who looks at a run exactly is who answers a question (`waiting_questions.py`): what stands here may be a little too much, never
too little. A place costs some hundred bytes, and runs that wait for nothing of the kind cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import nsmallest
from typing import TypeAlias

Asked: TypeAlias = tuple[str, ...]
"""Whose approvals of a run wait, each person once. Empty for signals."""

_KINDS = ("approval", "signal")


class WaitingRuns:
    """Of one partition."""

    def __init__(self) -> None:
        self._runs: dict[tuple[str, str], dict[str, Asked]] = {}
        self._shared: dict[Asked, Asked] = {}
        """One tuple for all runs that ask the same people."""

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def add(self, kind: str, flow: str, run: str, assignees: Asked) -> None:
        """The run waits, for one more thing of that kind perhaps."""
        runs = self._runs.setdefault((kind, flow), {})
        before = runs.get(run, ())
        if before and not set(assignees) <= set(before):
            assignees = tuple(dict.fromkeys((*before, *assignees)))
        elif before:
            assignees = before
        runs[run] = self._shared.setdefault(assignees, assignees)

    def discard(self, kind: str, flow: str, run: str) -> None:
        """The run waits for nothing of that kind any more."""
        runs = self._runs.get((kind, flow))
        if runs is not None:
            runs.pop(run, None)
            if not runs:
                del self._runs[kind, flow]
        if not self._runs:
            self._shared.clear()

    def forget(self, flow: str, run: str) -> None:
        """The run is over."""
        for kind in _KINDS if self._runs else ():
            if (kind, flow) in self._runs:
                self.discard(kind, flow, run)

    def of(self, flow: str, run: str) -> list[list[str]]:
        """What a snapshot's entry needs of a run: [kind, whose …] of each kind that it waits for."""
        found = ((kind, self._runs.get((kind, flow), {}).get(run)) for kind in _KINDS) if self._runs else ()
        return [[kind, *asked] for kind, asked in found if asked is not None]

    def adopt(self, flow: str, run: str, entries: Iterable[list[str]]) -> None:
        """The same from an entry."""
        for kind, *asked in entries:
            self.add(kind, flow, run, tuple(asked))

    def page(self, kind: str, flow: str | None, assignee: str | None, after: str, most: int) -> list[str]:
        """The ids of the next runs behind `after`, in order, that may have something of the kind, of this flow and for this person."""
        return nsmallest(most, self._candidates(kind, flow, assignee, after))

    def _candidates(self, kind: str, flow: str | None, assignee: str | None, after: str) -> Iterator[str]:
        for (of, name), runs in self._runs.items():
            if of == kind and flow in (None, name):
                yield from (run for run, asked in runs.items() if run > after and (assignee is None or assignee in asked))
