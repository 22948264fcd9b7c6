"""Folding: a run out of its journal.

    fold(plan, records)            the run that a journal describes
    state_at(plan, records, n)     … as it was after its first n records
    reopen(plan, journal, record)  … as it goes on from a RunReopened, and what it wants done then

A RunReopened says: from here on the run is what its first `after` records make of it without those in `dropped`. It counts where it stands
right behind these records; anywhere else it is a record like others that means nothing. What an earlier one has dropped stays dropped.

Guarantees: whoever folds the same records comes to the same run, also with any number of reopenings in the middle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...schemas.effects import Effect
from ...schemas.errors import UnreadableRecord
from ...schemas.plan.plan import Plan
from ...schemas.records import Record, RunReopened, RunStarted
from . import slots
from .decide import begin, decide
from .lives import go_on_behind, renew_timeouts
from .outstanding import outstanding
from .state import Reopened, Run

NOTHING: frozenset[int] = frozenset()


def fold(plan: Plan, records: Iterable[Record], keep: bool = False) -> Run:
    """The run that a journal describes. Raises UnreadableRecord if the journal does not begin with RunStarted."""
    journal = records if isinstance(records, Sequence) else list(records)
    return Folding(plan, journal).upto(len(journal), keep=keep)


def state_at(plan: Plan, records: Iterable[Record], n: int) -> Run:
    """The run as it was after its first n records (n ≥ 1), with the instances of all bodies."""
    journal = records if isinstance(records, Sequence) else list(records)
    return Folding(plan, journal).upto(min(n, len(journal)), keep=True)


def reopen(plan: Plan, journal: Sequence[Record], record: RunReopened, keep: bool = False) -> tuple[Run, list[Effect]]:
    """The run as the record has it go on, and what it waits for then; FinishRun alone if what is kept makes it end at once.

    `journal`: at least its first `record.after` records. Raises UnreadableRecord if there are fewer, or they are no journal.
    """
    if not 0 < record.after <= len(journal):
        raise UnreadableRecord(f"a run is to go on behind {record.after} records, and its journal has {len(journal)}")
    run = Folding(plan, journal).reopened(record, keep=keep)
    return run, outstanding(run)


class Folding:
    """The folds of one journal. Nothing is folded twice that several of them need."""

    def __init__(self, plan: Plan, journal: Sequence[Record]) -> None:
        self._plan = plan
        self._journal = journal
        self._lives: dict[int, Run] = {}
        """Runs as they were when they were reopened, by the number of their records. Only to be read."""

    def upto(self, end: int, dropped: frozenset[int] = NOTHING, keep: bool = False) -> Run:
        """The run after its first `end` records without those in `dropped`. Raises UnreadableRecord."""
        found: Run | None = None
        for _, state in self.states(end, dropped, keep, self._last_reopening(end)):
            found = state
        if found is None:
            raise UnreadableRecord("the journal is empty")
        return found

    def states(self, end: int, dropped: frozenset[int] = NOTHING, keep: bool = False, start: int = 0) -> Iterator[tuple[int, Run]]:
        """The run after each record that counts, with the record's number. It is the same object until the run is reopened.

        `start`: 0, or the number of a RunReopened.
        """
        journal, run = self._journal, None
        for place in range(start, end):
            record = journal[place]
            if type(record) is RunReopened and record.after == place:
                run = self.reopened(record, dropped, keep)
            elif run is not None:
                if place in dropped:
                    continue
                decide(run, record)
            elif isinstance(record, RunStarted):
                run, _ = begin(self._plan, record, keep)
            else:
                raise UnreadableRecord(f"the journal begins with {type(record).__name__}, not with RunStarted")
            yield place, run

    def reopened(self, record: RunReopened, dropped: frozenset[int] = NOTHING, keep: bool = False) -> Run:
        """The run right after a RunReopened; `dropped`: what later ones have dropped besides."""
        before = self._life(record.after)
        run = self.upto(record.after, dropped.union(record.dropped), keep)
        run.records, run.ignored = record.after + 1, before.ignored
        run.updated_at = max(before.updated_at, record.at)
        run.rare().reopened = Reopened(record.at, before.life + 1, record.source or before.source)
        if not record.source:
            go_on_behind(run, before)
        renew_timeouts(run, record.at)
        slots.reopened(run)
        return run

    def _life(self, end: int) -> Run:
        if end not in self._lives:
            self._lives[end] = self.upto(end, keep=True)
        return self._lives[end]

    def _last_reopening(self, end: int) -> int:
        journal = self._journal
        for place in range(end - 1, 0, -1):
            record = journal[place]
            if type(record) is RunReopened and record.after == place:
                return place
        return 0
