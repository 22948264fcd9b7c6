"""Frees what no run needs any more. One process per arena is its keeper: whoever holds `keeper.lock` (see `keeper_lock`).

Guarantees: a segment is freed only if every run with an entry in it is over, asked again right before, and if nobody reads or writes it. A
sweep that is cut short, or two keepers in turn, free nothing that is needed: all that is known lies in the entries.

Does not: know runs. Whoever calls `sweep` says which are over.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from ...schemas.errors import UsageError
from .folder import FREE, Folder
from .index import Index, SegmentSummary, bring_up
from .keeper_lock import KeeperLock
from .leftovers import remove_files, remove_locks, remove_spares, remove_unfinished_ids
from .locks import owned
from .room import is_wanted
from .settings import ArenaSettings, limits
from .writer import is_alive

HIGH_WATER = 0.8
"""Above this share of its limit the arena keeps nothing whose runs are over."""

IsOver = Callable[[set[str]], Awaitable[set[str]]]
"""Which of these runs have ended and are archived: nobody will ask for their values any more."""


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did. `freed` segments of so many bytes can be used again; `removed` ones were given back to the system; `busy` ones
    have nothing that is needed, but somebody is in them; `waiting` ones are kept for a while after their runs' end; `needed` ones hold
    values of open runs. `files`: folders of attempts that were left behind.
    """

    freed: int = 0
    freed_bytes: int = 0
    removed: int = 0
    removed_bytes: int = 0
    busy: int = 0
    waiting: int = 0
    needed: int = 0
    files: int = 0


class Keeper:
    """`settings` as for the arena: its folder, limit and how long it keeps; `host`: its id, should it have to be made anew. Used by one
    task at a time.
    """

    def __init__(self, settings: ArenaSettings, host: str = "") -> None:
        self._settings, self._host = settings, host
        self._folder: Folder | None = None
        self._lock = KeeperLock()
        self._over_since: dict[str, float] = {}
        self._empty_since: dict[tuple[str, int], float] = {}

    def acquire(self) -> bool:
        """Becomes the keeper if nobody is. True as long as this is it. Raises ArenaUnusable."""
        if self._folder is not None and not (self._folder.is_there() and self._lock.is_held(self._folder)):
            self.release()  # somebody removed the folder: keep the new one. Or took this process for stopped
        if self._folder is not None:
            self._lock.show()
            self._folder.restore_id()
            return True
        folder = Folder.open(self._settings.folder, host=self._host)
        try:
            if self._lock.take(folder, self._settings.max_bytes):
                self._folder, self._index = folder, Index(folder)
                return True
        finally:
            if self._folder is None:
                folder.close()
        return False

    def release(self) -> None:
        """Lets another process be the keeper. Nothing happens if this is not it."""
        folder, self._folder = self._folder, None
        if folder is not None:
            self._lock.let_go()
            folder.close()
        self._over_since.clear()
        self._empty_since.clear()

    def runs(self) -> set[str]:
        """Those with entries in the arena. Raises UsageError if this is not the keeper."""
        self._kept()
        self._index.refresh()
        return self._runs()

    async def sweep(self, is_over: IsOver) -> Swept:
        """Frees once. Raises UsageError if this is not the keeper, and what `is_over` raises; then nothing was freed."""
        folder = self._kept()
        await asyncio.to_thread(self._index.refresh)
        runs = self._runs()
        await self._learn(runs, is_over)
        due, waiting = await asyncio.to_thread(self._due, folder)
        asked = _runs_of(due)
        # Once more: a run that was over may have begun again since, under the same id.
        over = await is_over(asked) if asked else set()
        freed = await asyncio.to_thread(self._free, folder, due, over)
        names = {summary.file.name for summary in freed}
        busy = sum(1 for summary in due if summary.file.name not in names and _runs_of([summary]) <= over)
        return await asyncio.to_thread(self._swept, folder, freed, busy, waiting)

    async def _learn(self, runs: set[str], is_over: IsOver) -> None:
        self._over_since = {run: since for run, since in self._over_since.items() if run in runs}
        there = {(name, summary.generation) for name, summary in self._index.segments.items()}
        self._empty_since = {segment: since for segment, since in self._empty_since.items() if segment in there}
        unknown = runs - self._over_since.keys()
        if unknown:
            now = time.monotonic()
            self._over_since |= dict.fromkeys(unknown & await is_over(unknown), now)

    def _due(self, folder: Folder) -> tuple[list[SegmentSummary], int]:
        """The segments to free now, and how many are kept although their runs are over."""
        over_since = {
            summary.file.name: since for summary in self._index.segments.values() if (since := self._since(folder, summary)) is not None
        }
        now = time.monotonic()
        ready = {name for name, moment in over_since.items() if now - moment >= self._settings.keep_s}
        if is_wanted(folder):
            ready = set(over_since)
        used = self._index.used_bytes - sum(self._index.segments[name].file.size_bytes for name in ready)
        high_water = HIGH_WATER * limits(self._settings, folder.fd, self._index.total_bytes).max_bytes
        for name in sorted(over_since, key=lambda name: self._index.segments[name].written_ms):
            if used > high_water and name not in ready:
                ready.add(name)
                used -= self._index.segments[name].file.size_bytes
        return [self._index.segments[name] for name in sorted(ready)], len(over_since) - len(ready)

    def _since(self, folder: Folder, summary: SegmentSummary) -> float | None:
        """Since when nobody needs the segment; None if somebody does."""
        runs = [run for run in summary.runs if run]
        if not all(run in self._over_since for run in runs):  # not as a difference of sets: that would go through all runs for each segment
            return None
        if runs:
            return max(self._over_since[run] for run in runs)
        if not summary.runs and not is_alive(folder, summary.file.writer):
            return float("-inf")
        # Empty, or values of no run: they are kept as long as those of a run that is over.
        return self._empty_since.setdefault((summary.file.name, summary.generation), time.monotonic())

    def _free(self, folder: Folder, due: Iterable[SegmentSummary], over: set[str]) -> list[SegmentSummary]:
        return [summary for summary in due if self._free_one(folder, summary, over)]

    def _free_one(self, folder: Folder, summary: SegmentSummary, over: set[str]) -> bool:
        """Holding the segment alone: nobody appends now, so what is in it now is all there is."""
        file, known = summary.file, summary.entries
        with owned(folder, file.file, file.inode) as fd:
            if fd is None:
                return False
            try:
                there = bring_up(summary, file, fd, alone=True)
            except OSError:  # its disk fails: nobody knows what is in it
                return False
            # What came after the question may be of a run that was over then and has begun again: it is asked about next time.
            if there is not summary or there.entries != known or there.runs.keys() - {""} - over:
                return False
            with contextlib.suppress(FileNotFoundError):
                folder.rename(file.file, file.name + FREE)
        self._empty_since.pop((file.name, summary.generation), None)
        return True

    def _swept(self, folder: Folder, freed: list[SegmentSummary], busy: int, waiting: int) -> Swept:
        removed, removed_bytes = remove_spares(folder)
        remove_locks(folder)
        remove_unfinished_ids(folder)
        return Swept(
            freed=len(freed),
            freed_bytes=sum(summary.file.size_bytes for summary in freed),
            removed=removed,
            removed_bytes=removed_bytes,
            busy=busy,
            waiting=waiting,
            needed=len(self._index.segments) - len(freed) - busy - waiting,
            files=remove_files(folder),
        )

    def _runs(self) -> set[str]:
        return {run for summary in self._index.segments.values() for run in summary.runs if run}

    def _kept(self) -> Folder:
        if self._folder is None:
            raise UsageError("this process is not the keeper of the arena: call acquire() first")
        return self._folder


def _runs_of(summaries: Iterable[SegmentSummary]) -> set[str]:
    return {run for summary in summaries for run in summary.runs if run}
