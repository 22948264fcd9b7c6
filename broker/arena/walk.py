"""Reads one segment file from outside: which entries are in it, from where on nothing is.

Reads with `pread`, so that a file that somebody truncates is short instead of deadly, and trusts nothing that it finds. A header that was
damaged does not hide the entries behind it: the next one is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .layout import ALIGNMENT, ENTRY_MAGIC, HEADER_BLOCK_BYTES, NO_ENTRY, Entry, SegmentHeader, aligned, parse_entry, parse_segment

_SEARCH_BYTES = 1 << 20
_READ_AHEAD_BYTES = 512
"""Holds most entries' headers with run and meta."""


class SegmentWalk:
    """`header` is None if the file is no segment. `position`: where the walk goes on; `damaged`: headers that could not be read."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size_bytes = os.fstat(fd).st_size
        self.header: SegmentHeader | None = parse_segment(os.pread(fd, HEADER_BLOCK_BYTES, 0))
        self.position = HEADER_BLOCK_BYTES
        self.damaged: list[int] = []
        self._ahead, self._ahead_at = b"", 0

    @property
    def truncated(self) -> bool:
        """The file is smaller than its writer made it."""
        return self.header is not None and self.size_bytes < self.header.size_bytes

    def entries(self, position: int = HEADER_BLOCK_BYTES, *, over_damage: bool = True) -> Iterator[Entry]:
        """Those from `position` on, without gaps.

        A header that cannot be read may be one that is just being written. Who goes on from where this walk ends must not step over such
        a one unless it holds the segment alone: it says so by `over_damage`.
        """
        self.position = position
        while self.header is not None and self.position < self.size_bytes:
            entry = self._entry_here(self.header.generation)
            if entry is None and not self._ends_here() and over_damage:
                entry = self._next_after_damage(self.header.generation)
            if entry is None:
                return
            self.position = entry.end
            if not entry.is_gap:
                yield entry

    def _entry_here(self, generation: int) -> Entry | None:
        entry = parse_entry(self._read, self.position, generation, self.size_bytes)
        if entry is None and self._ahead:
            self._ahead = b""  # what was read ahead is older than what may have been written meanwhile
            entry = parse_entry(self._read, self.position, generation, self.size_bytes)
        return entry

    def _ends_here(self) -> bool:
        """The writer leaves zeros where the next entry will begin."""
        there = self._read(self.position, len(NO_ENTRY))
        if there == NO_ENTRY[: len(there)]:
            return True
        self.damaged.append(self.position)
        return False

    def _next_after_damage(self, generation: int) -> Entry | None:
        """Looks for a header further on. What a body holds that looks like one counts too: better an entry too many than one too few."""
        at = self.position + ALIGNMENT
        while at < self.size_bytes:
            block = os.pread(self._fd, _SEARCH_BYTES, at)
            found = block.find(ENTRY_MAGIC)
            while found >= 0:
                if found % ALIGNMENT == 0 and (entry := parse_entry(self._read, at + found, generation, self.size_bytes)):
                    return entry
                found = block.find(ENTRY_MAGIC, aligned(found + 1))
            at += _SEARCH_BYTES
        return None

    def _read(self, offset: int, length: int) -> bytes:
        start = offset - self._ahead_at
        if start < 0 or start + length > len(self._ahead):
            self._ahead, self._ahead_at = os.pread(self._fd, max(length, _READ_AHEAD_BYTES), offset), offset
            start = 0
        return self._ahead[start : start + length]
