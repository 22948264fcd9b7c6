"""The codec `file`: the bytes of a file whose `pathlib.Path` a node returned, and its name.

Written straight from the file, mapped. The file must not be changed while that happens: one that is cut short meanwhile takes
the process with it, as for every mapped file. So a node closes what it wrote before it returns the path.

What is read is a FileView: name and bytes. A consumer that wants a `Path` gets a file with those bytes, see `workers.views`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import stat
from pathlib import Path
from typing import Any

from ...schemas.errors import UnencodableValue
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.values import MISSING
from .codec import META_BYTES_MAX, Encoded
from .opened import OpenedFile


class FileView:
    """A file's bytes, where they lie. `name` is that of the file, without folders; it is safe to use in a folder of one's own."""

    # No dataclass: msgpack's encoder writes those as maps, without asking for their codec, and a small file would be a file no more.
    __slots__ = ("body", "name")

    def __init__(self, name: str, body: memoryview) -> None:
        self.name, self.body = name, body

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FileView) and (self.name, self.body) == (other.name, other.body)

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"FileView({self.name!r}, {self.nbytes} bytes)"

    @property
    def nbytes(self) -> int:
        return self.body.nbytes


class FileCodec:
    name = "file"

    def encode(self, value: Any) -> Encoded:
        if isinstance(value, FileView):
            return Encoded(value.name.encode(), (value.body,) if value.nbytes else ())
        if isinstance(value, OpenedFile):
            return Encoded(value.name.encode(), (value.memory(),) if value.nbytes else ())
        body = _map(value)
        return Encoded(value.name.encode("utf-8", "replace"), (body,) if body.nbytes else ())

    def decode(self, body: memoryview, meta: bytes) -> FileView:
        try:
            name = meta.decode()
        except UnicodeDecodeError as error:
            raise PayloadCorrupt(f"the name of a file cannot be read: {error}") from None
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise PayloadCorrupt(f"{name!r} is no name of a file")
        return FileView(name, body.toreadonly())

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return MISSING if path else self.decode(body, meta)

    def nbytes(self, value: Any) -> int | None:
        """Size of the file; None if it cannot be seen."""
        if isinstance(value, FileView | OpenedFile):
            return value.nbytes
        with contextlib.suppress(OSError):
            return int(value.stat().st_size)
        return None


def _map(path: Path) -> memoryview:
    """The bytes of a file, mapped read-only. Raises UnencodableValue for what is no file that can be read."""
    if len(os.fsencode(path.name)) > META_BYTES_MAX:
        raise UnencodableValue(f"the name of {path} is too long")
    try:
        # Not blocking: a pipe would wait for a writer that may never come.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise UnencodableValue(f"the node returned the path {path}, which cannot be read: {error}; return paths of files only") from None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise UnencodableValue(f"the node returned the path {path}, which is no regular file; return str(path) for a path as text")
        if not status.st_size:  # or of a kind that does not know its size, as those in /proc
            with open(file, "rb", closefd=False) as opened:
                return memoryview(opened.read())
        return memoryview(mmap.mmap(file, status.st_size, prot=mmap.PROT_READ))
    except OSError as error:
        raise UnencodableValue(f"the file {path} cannot be read: {error}") from None
    finally:
        os.close(file)
