"""An opened file as a value: somebody else's file, of any size, that may change while it is read.

Guarantees: its bytes are those that it had when it was opened, or FileChanged. Nothing is mapped that somebody else may cut short: that
would take the process with it. It is read in pieces, so its size does not matter to this process's memory.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator

from ...schemas.errors import UnencodableValue

PIECE_BYTES = 1 << 20
_READ_MAX_BYTES = 4 << 20
"""What is larger is copied into a file before it is mapped."""


class FileChanged(UnencodableValue):
    """The file was changed while it was read."""

    code = "FILE_CHANGED"


class OpenedFile:
    """`name`: without folders, as its readers see it. `fd`: open for reading, and from now on ours: it is closed with the last who has the
    value, as it may be read for several runs. Thread-safe.
    """

    __slots__ = ("_fd", "name", "status")

    def __init__(self, name: str, fd: int) -> None:
        self.name, self._fd = name, fd
        self.status = os.fstat(fd)

    def __del__(self) -> None:
        fd = getattr(self, "_fd", -1)
        if fd >= 0:
            os.close(fd)

    @property
    def nbytes(self) -> int:
        return self.status.st_size

    def pieces(self) -> Iterator[memoryview]:
        """The bytes, from the beginning. A piece is valid until the next one is asked for. Raises FileChanged, UnencodableValue."""
        buffer = memoryview(bytearray(min(PIECE_BYTES, self.nbytes)))
        place = 0
        while place < self.nbytes:
            count = self._read_at(place, buffer[: self.nbytes - place])
            if not count:
                break
            yield buffer[:count]
            place += count
        self._require_unchanged(place)

    def read(self) -> bytes:
        """All bytes, for files that are known to be small. Raises as `pieces`."""
        data = bytearray(self.nbytes)
        place = 0
        for piece in self.pieces():
            data[place : place + len(piece)] = piece
            place += len(piece)
        return bytes(data)

    def memory(self) -> memoryview:
        """All bytes, as memory that nobody else can change: of a large file a private copy, mapped. Raises as `pieces`, and OSError if
        there is no room for the copy.
        """
        if self.nbytes <= _READ_MAX_BYTES:
            return memoryview(self.read())
        with tempfile.TemporaryFile() as copy:
            for piece in self.pieces():
                copy.write(piece)
            copy.flush()
            return memoryview(mmap.mmap(copy.fileno(), self.nbytes, prot=mmap.PROT_READ))

    def _read_at(self, place: int, into: memoryview) -> int:
        try:
            return os.preadv(self._fd, [into], place)
        except OSError as error:
            raise UnencodableValue(f"the file {self.name} cannot be read: {error.strerror}") from None

    def _require_unchanged(self, count: int) -> None:
        now, then = os.fstat(self._fd), self.status
        if count != then.st_size or (now.st_size, now.st_mtime_ns) != (then.st_size, then.st_mtime_ns):
            raise FileChanged(f"the file {self.name} was changed while it was read: its new version counts")
