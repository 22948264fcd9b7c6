"""The arena of a host, as one process uses it. See docs/payloads.md for what lies where, `segment` for why nobody sees wrong bytes.

Guarantees: `view` gives exactly the bytes that were written, or raises a typed error. A value stays until its run has ended and nobody
looks at it any more. A write that is refused leaves nothing behind. Thread-safe; may be used on in a forked child, which writes under its
own name.

Does not: wait for room (`ArenaFull` comes at once, the caller waits), survive the host, encrypt, or free (see `keeper`).
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...schemas.errors import UsageError
from ...schemas.payload_errors import ArenaFull, PayloadElsewhere
from ...schemas.ref import Ref
from .accounts import Accounts
from .copying import as_bytes
from .counters import ArenaCounters
from .folder import Folder
from .layout import NO_ENTRY, aligned, head_bytes
from .reader import Reader
from .room import Room
from .settings import ArenaSettings, limits
from .stamp import blank, entry_of, ref_to
from .stream import EntryWriter
from .writer import Writer

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CLOSED = "the arena is closed"


class Arena:
    """`host` is the arena's id, as refs name it. `counters`: what this process did in it. Made by `open`."""

    def __init__(self, folder: Folder, settings: ArenaSettings, writer: str | None) -> None:
        self._folder, self._called = folder, writer
        self.settings, self.host, self.counters = settings, folder.host, ArenaCounters()
        self.limits = limits(settings, folder.fd, sum(file.size_bytes for file in folder.segments()))
        self._reader = Reader(folder, self.counters)
        self._current: Writer | None = None
        self._begin()
        _opened.add(self)

    @classmethod
    def open(cls, settings: ArenaSettings, *, writer: str | None = None, host: str = "") -> Arena:
        """Makes the folder if there is none. `writer`: what this process is called, for people. `host`: the id of a new arena.

        Raises ArenaUnusable.
        """
        return cls(Folder.open(settings.folder, host=host), settings, writer)

    @property
    def is_there(self) -> bool:
        """Whether the folder still is where it was: somebody may have cleaned up."""
        return self._folder.is_there()

    def must_be_writable(self) -> None:
        """Raises ArenaUnusable where nothing can be written, as far as can be told before somebody does."""
        self._folder.must_be_writable()

    def write(
        self,
        codec: str,
        parts: Sequence[Buffer],
        *,
        run: str,
        meta: bytes = b"",
        count: int | None = None,
        activation: tuple[int | str, ...] = (),
        again: bool = False,
    ) -> Ref:
        """Copies the parts, one behind the other, into a new entry. Raises ArenaFull, RunTooLarge, ArenaUnusable, UnencodableValue."""
        ref = blank(self.host, codec, run, activation, again, meta, count)
        bodies = [as_bytes(part) for part in parts]
        length = sum(len(body) for body in bodies)
        self._accounts.reserve(run, length)
        try:
            written = self._write(ref, bodies, length)
        except BaseException as error:
            self._accounts.give_up(run, length)
            if isinstance(error, OSError):
                raise self._room.refused(error, length) from None
            raise
        self.counters.entries_written += 1
        self.counters.copied_bytes += length
        return written

    def stream(
        self, codec: str, *, run: str, activation: tuple[int | str, ...] = (), again: bool = False, room_bytes: int = 0
    ) -> EntryWriter:
        """An entry that is written piece by piece. `room_bytes`: no write up to there finds the arena full; 0: its length is not known.

        Raises ArenaFull, RunTooLarge, ArenaUnusable, UnencodableValue.
        """
        ref = blank(self.host, codec, run, activation, again)
        try:
            return EntryWriter(ref, self._writer().pool, self._room, self._accounts, self.counters, room_bytes)
        except ArenaFull:
            self.counters.waits_for_room += 1
            raise

    def view(self, ref: Ref, *, verify: bool = True) -> memoryview:
        """The body of the value that the ref leads into, read-only and in place. Its memory stays as it is while anybody has the view.

        `verify`: compare its checksum first, once per process and entry. Raises PayloadLost, PayloadCorrupt, ArenaUnusable, and
        PayloadElsewhere for a ref to another arena.
        """
        return self._reader.view(self._own(ref), verify)

    def verify(self, ref: Ref) -> None:
        """Compares the body's checksum by reading it in blocks, once per process and entry. Raises what `view` raises."""
        self._reader.verify(self._own(ref))

    def holds(self, ref: Ref) -> bool:
        """Whether the ref leads into this arena. Whether its bytes are still there is seen when it is read."""
        return ref.host == self.host

    def find(self, buffer: Buffer) -> Ref | None:
        """The ref to the entry whose body is exactly this memory, so that a view that is handed on need not be copied again.

        It says nothing about how the bytes are to be read: that the value's codec and meta are the ref's is for the caller to compare.
        """
        return self._reader.find(buffer)

    def close(self) -> None:
        """Ends the writing; views stay valid. Nothing can be read or written any more."""
        _opened.discard(self)
        writer, self._current = self._current, None
        if writer is not None and writer.pid == os.getpid():
            writer.close()
        self._folder.close()

    def _write(self, ref: Ref, bodies: list[memoryview], length: int) -> Ref:
        head = head_bytes(ref.run.encode(), ref.meta)
        pool = self._writer().pool
        try:
            segment = pool.take(head + aligned(length) + len(NO_ENTRY))
        except ArenaFull:
            self.counters.waits_for_room += 1
            raise
        try:
            offset = segment.position + head
            entry = entry_of(ref, segment, offset, length, segment.write(bodies, offset))
            with self._accounts.committing(ref.run, length):
                segment.commit(entry.packed(), entry.start, entry.end)
            return ref_to(entry, ref, segment)
        finally:
            pool.give_back(segment)

    def _own(self, ref: Ref) -> Ref:
        if not self.holds(ref):
            raise PayloadElsewhere(f"the value {ref} lies in another arena, this one is {self.host}", ref)
        if self._folder.fd < 0:
            raise UsageError(_CLOSED)
        return ref.whole

    def _writer(self) -> Writer:
        """Made with the first write: who only reads has no lock and no segments."""
        if self._folder.fd < 0:
            raise UsageError(_CLOSED)
        with self._lock:
            if self._current is None:
                self._current = Writer(self._folder, self._room, self._called, self.limits.segment_bytes, self.counters)
            return self._current

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._current = None
        self._accounts = Accounts(self._folder, self.limits.run_max_bytes)
        self._room = Room(self._folder, self.limits.max_bytes, self._accounts.holders)

    def _after_fork(self) -> None:
        writer = self._current
        self._begin()
        self._reader = Reader(self._folder, self.counters)
        if writer is not None:
            writer.forget()


_opened: weakref.WeakSet[Arena] = weakref.WeakSet()


def _child() -> None:
    for arena in list(_opened):
        arena._after_fork()


os.register_at_fork(after_in_child=_child)
