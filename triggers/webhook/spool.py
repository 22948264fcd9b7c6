"""A spool: bytes that come piece by piece. Few of them stay in memory, many lie in a file that has no name and goes with the spool.

Guarantees: what is large takes no more memory than what is small, as long as nobody asks for all its bytes at once.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from ...broker.codecs.opened import OpenedFile
from ...broker.codecs.path import FileView
from .replies import unavailable

KEPT_BYTES = 1 << 20
"""So many are kept in memory; the larger part of a larger body is not."""
IN_THREAD_BYTES = 256 * 1024


class Spool:
    """Written to from one side at a time, then read."""

    __slots__ = ("_file", "_kept", "_kept_bytes", "nbytes")

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._kept_bytes = self.nbytes = 0
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> bool:
        """Whether it is time to write out what is kept."""
        self._kept.append(data)
        self.nbytes += len(data)
        self._kept_bytes += len(data)
        return self._kept_bytes > KEPT_BYTES

    def write_out(self) -> None:
        """Takes its time: call it in a thread. Raises OSError if there is no room."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 (it is closed with the spool)
        for piece in self._kept:
            rest = memoryview(piece)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._kept, self._kept_bytes = [], 0

    def pieces(self) -> Iterator[bytes]:
        """The bytes from the beginning. Raises OSError."""
        if self._file is not None:
            place = 0
            while piece := os.pread(self._file.fileno(), KEPT_BYTES, place):
                place += len(piece)
                yield piece
        yield from self._kept

    def read(self) -> bytes:
        """All bytes, in memory. Raises OSError."""
        return self._kept[0] if self._file is None and len(self._kept) == 1 else b"".join(self.pieces())

    def file(self, name: str) -> FileView | OpenedFile:
        """The bytes as a file's. Raises OSError."""
        if self._file is None:
            return FileView(name, memoryview(self.read()))
        self.write_out()
        return OpenedFile(name, os.dup(self._file.fileno()))


async def beside(spool: Spool, work: Callable[..., Any], *arguments: Any) -> Any:
    """What the work on the bytes gives; where they are many, others are served meanwhile. Raises what it raises, and Refusal if there is
    no room."""
    if spool.nbytes <= IN_THREAD_BYTES:
        return work(*arguments)
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError:
        raise unavailable("BUSY", "there is no room for a body of this size at the moment: try again", close=True) from None
