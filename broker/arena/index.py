"""What lies in an arena: whose entries, in which segments, and how much. Read from the entries' headers; there is no other book.

`refresh` reads what came since the last time, so it costs little however much lies there. It is a look from outside without locks: what it
says was true a moment ago. Who frees a segment looks again, holding its lock. Foreign files in the folder are passed over.
Not thread-safe.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...schemas.sizes import size_text
from .folder import LIVE, Folder, SegmentFile
from .layout import HEADER_BLOCK_BYTES, Entry
from .walk import SegmentWalk


@dataclass(slots=True)
class Share:
    """What a run has in a segment. `bytes` counts bodies; `written_ms`: when the last one was written, since the epoch."""

    entries: int = 0
    bytes: int = 0
    written_ms: int = 0


@dataclass(slots=True)
class SegmentSummary:
    """`position`: how far the entries were read. `damaged_at`: places where a header should be and none can be read."""

    file: SegmentFile
    generation: int = 0
    position: int = HEADER_BLOCK_BYTES
    damaged_at: set[int] = field(default_factory=set)
    runs: dict[str, Share] = field(default_factory=dict)

    @property
    def damaged(self) -> int:
        return len(self.damaged_at)

    @property
    def entries(self) -> int:
        return sum(share.entries for share in self.runs.values())

    @property
    def written_ms(self) -> int:
        return max((share.written_ms for share in self.runs.values()), default=0)

    def note(self, entry: Entry) -> None:
        self.damaged_at.discard(entry.start)
        share = self.runs.setdefault(entry.run, Share())
        share.entries += 1
        share.bytes += entry.length
        share.written_ms = max(share.written_ms, entry.written_ms)


class Index:
    """`segments` by name: those in use, as of the last `refresh`. `free` are those that were freed or are being made."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.segments: dict[str, SegmentSummary] = {}
        self.free: list[SegmentFile] = []
        self._of_runs: Counter[str] = Counter()

    def refresh(self) -> None:
        """Reads what was written since the last time."""
        files = self._folder.segments()
        self.free = [file for file in files if file.state != LIVE]
        before, self.segments = self.segments, {}
        for file in files:
            if file.state == LIVE:
                self.segments[file.name] = self._brought_up(before.get(file.name), file)
        self._of_runs = Counter()
        for summary in self.segments.values():
            for run, share in summary.runs.items():
                self._of_runs[run] += share.bytes

    def bytes_of(self, run: str) -> int:
        return self._of_runs.get(run, 0)

    def runs(self) -> dict[str, int]:
        """Bytes by run."""
        return dict(self._of_runs)

    @property
    def used_bytes(self) -> int:
        """Of the files that cannot be given to somebody else right now."""
        return sum(summary.file.size_bytes for summary in self.segments.values())

    @property
    def total_bytes(self) -> int:
        """Of all segments, whatever their state."""
        return self.used_bytes + sum(file.size_bytes for file in self.free)

    def largest(self, besides: Mapping[str, int] | None = None, count: int = 3) -> str:
        """In words: the runs that have most, counting what they have `besides`."""
        top = (self._of_runs + Counter(besides or {})).most_common(count)
        if not top:
            return "No run has a value in it."
        return "Most is held by " + ", ".join(f"run {run or '(none)'} ({size_text(held)})" for run, held in top) + "."

    def entries(self) -> Iterator[tuple[str, Entry]]:
        """All entries with their segments' names, read afresh."""
        for file in self._folder.segments():
            fd = self._folder.open_file(file.file) if file.state == LIVE else None
            if fd is None:
                continue
            try:
                for entry in SegmentWalk(fd).entries():
                    yield file.name, entry
            except OSError:  # its disk fails
                continue
            finally:
                os.close(fd)

    def _brought_up(self, known: SegmentSummary | None, file: SegmentFile) -> SegmentSummary:
        fd = self._folder.open_file(file.file)
        if fd is None:
            return SegmentSummary(file)
        try:
            return bring_up(known, file, fd)
        except OSError:  # its disk fails: what is known of it stays, and the others can still be counted
            known = known or SegmentSummary(file)
            known.damaged_at.add(known.position)
            return known
        finally:
            os.close(fd)


def bring_up(known: SegmentSummary | None, file: SegmentFile, fd: int, *, alone: bool = False) -> SegmentSummary:
    """`known` and what was appended since, or a new summary if the segment is another one or was used again.

    `alone`: the caller holds the segment alone, so that a header that cannot be read is damaged and not just being written. Only then
    entries behind it are looked for.
    """
    walk = SegmentWalk(fd)
    generation = walk.header.generation if walk.header else 0
    if known is None or known.file.inode != file.inode or known.generation != generation:
        known = SegmentSummary(file, generation)
    known.file = file
    for entry in walk.entries(known.position, over_damage=alone):
        known.note(entry)
    known.damaged_at.update(walk.damaged)
    known.position = walk.position
    return known
