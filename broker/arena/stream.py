"""An entry that is written piece by piece: a file that somebody writes, bytes that come from elsewhere.

It begins in a segment with others, with the room that it is known to need. When it becomes too large for that it moves to one of its own,
which grows with it. Room for the codec's meta is left before the body; what is not needed of it becomes a gap. Nothing is an entry before
`finish`. Until then the segment cannot be freed, and nobody else appends to it.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...schemas.errors import UsageError
from ...schemas.payload_errors import ArenaFull, ArenaUnusable, RunTooLarge
from ...schemas.ref import Ref
from .accounts import Accounts
from .copying import as_bytes, write_file
from .counters import ArenaCounters
from .layout import ENTRY_HEADER_BYTES, HEADER_BLOCK_BYTES, LONGEST_TEXT_BYTES, NO_ENTRY, aligned
from .pool import Pool
from .room import Room
from .segment import Segment
from .stamp import checked_meta, entry_of, gap, ref_to

if TYPE_CHECKING:
    from typing_extensions import Buffer

GATHERED_BYTES = 256 << 10
"""Smaller pieces are collected up to this size before they are written."""
FIRST_ROOM_BYTES = 1 << 20
_GROWTH_BYTES = 64 << 20
_MOVED_AT_ONCE_BYTES = 1 << 20
_DONE = "the entry is finished or given up: nothing can be written to it any more"


class EntryWriter(io.RawIOBase):
    """Made by `Arena.stream`. A file object for writing, used by one thread at a time; `length` counts the bytes so far.

    `close`, as libraries call it on files that they were given, ends the writing and leaves `finish` to the owner. As context manager, or
    when it is forgotten, it gives up what was not finished.
    """

    def __init__(self, blank: Ref, pool: Pool, room: Room, accounts: Accounts, counters: ArenaCounters, room_bytes: int = 0) -> None:
        super().__init__()
        self._segment: Segment | None = None
        self._blank, self._pool, self._room, self._accounts, self._counters = blank, pool, room, accounts, counters
        self._pid = os.getpid()
        self.length = self._put_so_far = self._crc = 0
        self._gathered = bytearray()
        self._before_body = ENTRY_HEADER_BYTES + aligned(ENTRY_HEADER_BYTES + len(blank.run.encode()) + LONGEST_TEXT_BYTES)
        first = room_bytes or min(FIRST_ROOM_BYTES, pool.segment_bytes // 4)
        self._begin_in(pool.take(aligned(self._before_body + first) + len(NO_ENTRY)))

    def write(self, data: Buffer) -> int:
        """Appends all of `data`. Raises ArenaFull, RunTooLarge: then nothing of it was written, and the same call may be made again.
        ArenaUnusable: then the entry is given up.
        """
        part = as_bytes(data)
        if self.closed:
            raise UsageError(_DONE)
        segment = self._begun()
        self._accounts.reserve(self._blank.run, len(part))
        with self._given_up_if_refused():
            try:
                segment = self._with_room(segment, self.length + len(part))
            except BaseException as error:
                self._accounts.give_up(self._blank.run, len(part))
                self._counters.waits_for_room += isinstance(error, ArenaFull)
                raise
            self.length += len(part)
            if len(self._gathered) + len(part) < GATHERED_BYTES:
                self._gathered += part
            else:
                self._put_gathered(segment)
                self._put(segment, part)
        return len(part)

    def finish(self, meta: bytes = b"", count: int | None = None) -> Ref:
        """Makes it an entry of all that was written. Raises UsageError if it is one already or was given up, UnencodableValue."""
        segment = self._begun()
        named = self._blank.replace(meta=checked_meta(meta), count=count)
        with self._given_up_if_refused():
            self._put_gathered(segment)
        entry = entry_of(named, segment, self._offset, self.length, self._crc)
        with self._accounts.committing(entry.run, entry.length):
            segment.commit(entry.packed(), entry.start, entry.end)
            # Who walks the segment gets to the entry by the gap before it, so the gap is written last.
            segment.put(gap(segment, self._start, entry.start).packed(), self._start)
        self._segment = None
        self._pool.give_back(segment)
        self._counters.entries_written += 1
        self._counters.copied_bytes += entry.length
        return ref_to(entry, named, segment)

    def abort(self) -> None:
        """Gives up what was written; nothing happens if it is finished."""
        segment, self._segment = self._segment, None
        if segment is not None and self._pid == os.getpid():
            self._accounts.give_up(self._blank.run, self.length)
            self._pool.give_back(segment)

    def writable(self) -> bool:
        return not self.closed

    def tell(self) -> int:
        return self.length

    def __exit__(self, *exception: object) -> None:
        self.abort()
        self.close()

    def __del__(self) -> None:
        # Garbage is collected in the middle of anything, also while this very thread holds the locks of accounts and pool: none is taken.
        segment, self._segment = self._segment, None
        if segment is not None and self._pid == os.getpid():
            self._accounts.forget(self._blank.run, self.length)
            self._pool.leave(segment)

    def _begun(self) -> Segment:
        if self._segment is None or self._pid != os.getpid():
            raise UsageError(_DONE)
        return self._segment

    @contextlib.contextmanager
    def _given_up_if_refused(self) -> Iterator[None]:
        """What the system does not take although its room is reserved cannot be tried again: nobody knows how much of it is there."""
        try:
            yield
        except OSError as error:
            self.abort()
            raise ArenaUnusable(str(self._room.refused(error, self.length))) from None

    def _begin_in(self, segment: Segment) -> None:
        self._segment, self._start = segment, segment.position
        self._offset = self._start + self._before_body

    def _with_room(self, segment: Segment, length: int) -> Segment:
        """The segment to go on in: large enough for a body of this length, and for what says that no other entry follows."""
        end = aligned(self._offset + length) + len(NO_ENTRY)
        if end <= segment.size_bytes:
            return segment
        growth = min(max(length, self._pool.segment_bytes), _GROWTH_BYTES)
        grow = self._enlarge if self._start == HEADER_BLOCK_BYTES else self._move
        try:
            return grow(segment, end + growth)
        except (ArenaFull, RunTooLarge):
            return grow(segment, end)

    def _enlarge(self, segment: Segment, end: int) -> Segment:
        size = self._pool.size_for(end)
        if size > self._room.max_bytes:  # steps leave room for the next entry; here is none for that
            size = aligned(end, HEADER_BLOCK_BYTES)
        self._room.enlarge(segment.fd, segment.size_bytes, size)
        segment.enlarged(size)
        self._counters.segments_enlarged += 1
        return segment

    def _move(self, segment: Segment, end: int) -> Segment:
        """To a segment of its own: a large entry must not be kept from being freed by small ones of other runs, nor keep them."""
        larger = self._pool.take(max(end - self._start, self._pool.segment_bytes))
        before = self._offset
        self._begin_in(larger)
        try:
            for done in range(0, self._put_so_far, _MOVED_AT_ONCE_BYTES):
                piece = os.pread(segment.fd, min(_MOVED_AT_ONCE_BYTES, self._put_so_far - done), before + done)
                os.pwrite(larger.fd, piece, self._offset + done)
        finally:
            self._pool.give_back(segment)
        return larger

    def _put_gathered(self, segment: Segment) -> None:
        gathered, self._gathered = self._gathered, bytearray()
        self._put(segment, memoryview(gathered))

    def _put(self, segment: Segment, part: memoryview) -> None:
        self._crc = write_file(segment.fd, self._offset + self._put_so_far, [part], self._crc)
        self._put_so_far += len(part)
