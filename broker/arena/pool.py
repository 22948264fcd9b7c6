"""The segments of one writer: which one takes the next entry, and which are used again.

Writing to pages that are in memory and mapped already is several times as fast as to new ones. So segments that are full stay mapped for a
while, and when the keeper has freed one it takes the next entry that fits. Thread-safe: a segment that was taken is in one thread's hands.
"""

from __future__ import annotations

import threading
from collections import deque

from ...schemas.payload_errors import ArenaFull, RunTooLarge
from .counters import ArenaCounters
from .folder import FREE, LIVE, Folder
from .layout import HEADER_BLOCK_BYTES, aligned
from .room import Room
from .segment import Segment

OPEN_AT_MOST = 16
"""Segments that wait for entries; as many as threads usually write at once."""
KEPT_AT_MOST = 32
"""Full segments that stay mapped. Each costs two file descriptors."""
WORTH_OPENING_BYTES = 64 << 10
"""With less room than this a segment counts as full."""
LOOSE_FIT = 4
"""A large segment is used again for an entry of at least a quarter of its size."""
_SIZE_STEPS = 16


class Pool:
    """`writer` is the name that segments begin with; `segment_bytes` the size of a usual one."""

    def __init__(self, folder: Folder, room: Room, writer: str, segment_bytes: int, counters: ArenaCounters) -> None:
        self._folder, self._room, self._writer, self._counters = folder, room, writer, counters
        self.segment_bytes = segment_bytes
        self._open: list[Segment] = []
        self._kept: dict[str, Segment] = {}
        self._left: deque[Segment] = deque()
        self._made_so_far = 0
        self._closed = False
        self._lock = threading.Lock()

    def take(self, needed: int) -> Segment:
        """A segment, begun, with room for `needed` bytes. Raises ArenaFull, RunTooLarge, ArenaUnusable."""
        while self._left:
            self.give_back(self._left.popleft())
        while True:
            segment = self._with_room(needed)
            if segment is None:
                return self._used_again(needed) or self._made(needed)
            if segment.begin():
                return segment
            with self._lock:
                self._keep(segment)

    def give_back(self, segment: Segment) -> None:
        """The caller has written its entry, or given up."""
        segment.end()
        with self._lock:
            if self._closed:
                segment.close()
                return
            # A large segment was made for one entry: small ones of other runs would only keep it from being freed.
            if segment.size_bytes > self.segment_bytes or segment.room < WORTH_OPENING_BYTES:
                self._keep(segment)
                return
            self._open.append(segment)
            if len(self._open) > OPEN_AT_MOST:
                fullest = min(self._open, key=lambda other: other.room)
                self._open.remove(fullest)
                self._keep(fullest)

    def leave(self, segment: Segment) -> None:
        """As `give_back`, but takes no lock: nothing in it is needed, and it is taken in before the next one is asked for."""
        if self._closed:
            segment.close()
        else:
            segment.end()  # so the keeper may free it meanwhile; whoever takes it later sees that
            self._left.append(segment)

    def close(self) -> None:
        with self._lock:
            self.forget()

    def forget(self) -> None:
        """Closes all segments; without the lock, which in a forked child nobody may be there to release."""
        self._closed = True
        for segment in (*self._open, *self._kept.values(), *self._left):
            segment.close()
        self._left.clear()
        self._open.clear()
        self._kept.clear()

    def _with_room(self, needed: int) -> Segment | None:
        with self._lock:
            tightest = None
            for segment in self._open:
                if segment.room >= needed and (tightest is None or segment.room < tightest.room):
                    tightest = segment
            if tightest is not None:
                self._open.remove(tightest)
            return tightest

    def _keep(self, segment: Segment) -> None:
        self._kept[segment.name] = segment
        if len(self._kept) > KEPT_AT_MOST:
            self._kept.pop(next(iter(self._kept))).close()

    def _used_again(self, needed: int) -> Segment | None:
        """The smallest freed segment that fits, if one does."""
        smallest = needed + HEADER_BLOCK_BYTES
        largest = max(LOOSE_FIT * smallest, self.segment_bytes)
        with self._lock:
            for name in self._freed():
                segment = self._kept.pop(name, None) or Segment.freed(self._folder, name)
                if segment is None:
                    continue
                if smallest <= segment.size_bytes <= largest and segment.use_again():
                    self._counters.segments_reused += 1
                    return segment
                self._keep(segment)
        return None

    def _freed(self) -> list[str]:
        """Names of this writer's freed segments, mapped ones first. Lets go of those that are there no more."""
        files = {file for file in self._folder.names() if file.startswith(f"{self._writer}-")}
        # There must never be two objects for one segment: those that wait for entries may have been freed too.
        for segment in [segment for segment in self._open if segment.name + LIVE not in files]:
            self._open.remove(segment)
            self._keep(segment)
        for name in [name for name in self._kept if name + LIVE not in files and name + FREE not in files]:
            self._kept.pop(name).close()
        freed = [file.removesuffix(FREE) for file in files if file.endswith(FREE)]
        return sorted(freed, key=lambda name: (name not in self._kept, self._kept[name].size_bytes if name in self._kept else 0, name))

    def _made(self, needed: int) -> Segment:
        size = self.size_for(needed)
        with self._lock:
            self._made_so_far += 1
            name = f"{self._writer}-{self._made_so_far}"
        try:
            fd = self._room.reserve(name, size)
        except (ArenaFull, RunTooLarge):
            # There is no room for a usual one. Perhaps for one that is large enough for this entry, but not one for each small entry.
            least = max(aligned(needed + HEADER_BLOCK_BYTES, HEADER_BLOCK_BYTES), aligned(size // _SIZE_STEPS, HEADER_BLOCK_BYTES))
            if least >= size:
                raise
            size = least
            fd = self._room.reserve(name, size)
        segment = Segment.make(self._folder, name, fd, size)
        self._counters.segments_made += 1
        return segment

    def size_for(self, needed: int) -> int:
        """A usual segment if the entry fits, else one in steps of a sixteenth, so that the next entry of about the same size fits too."""
        wanted = needed + HEADER_BLOCK_BYTES
        if wanted <= self.segment_bytes:
            return self.segment_bytes
        return aligned(wanted, max(HEADER_BLOCK_BYTES, (1 << (wanted.bit_length() - 1)) // _SIZE_STEPS))
