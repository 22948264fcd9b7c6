"""Contents: what of a file goes along with its event.

Guarantees: the bytes are those of the version that the event tells of, opened without following a link. Else it is `Changed`, and looked at
anew.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from typing import Any

from ...broker.codecs.opened import FileChanged, OpenedFile
from ...schemas.errors import JetfleetError
from .entry import Entry, mark_of, readable
from .folder import GONE, View

IN_MEMORY_MAX_BYTES = 16 << 20
"""Of one file, unless the trigger says otherwise."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Changed(Exception):
    """The file is not any more what it was."""


class FileUnreadable(JetfleetError):
    """The file cannot be read, or its content is not what the trigger says it is."""

    code = "FILE_UNREADABLE"


class FileTooLarge(JetfleetError):
    """The file is larger than the trigger takes."""

    code = "FILE_TOO_LARGE"


@dataclass(frozen=True, slots=True)
class Contents:
    """`kind`: none, text, json, bytes or reference. `max_bytes`: None where it is not bounded."""

    kind: str
    max_bytes: int | None

    @classmethod
    def of(cls, kind: str, max_content_bytes: int | None) -> Contents:
        return cls(kind, max_content_bytes or (None if kind == "reference" else IN_MEMORY_MAX_BYTES))

    @property
    def in_memory(self) -> bool:
        """Whether contents take this process's memory."""
        return self.kind not in ("none", "reference")

    def read(self, view: View, entry: Entry) -> Any:
        """The content. Raises Changed, FileUnreadable, FileTooLarge."""
        if self.max_bytes is not None and entry.mark.size > self.max_bytes:
            raise FileTooLarge(f"{readable(entry.path)} has {entry.mark.size:,} bytes, and the trigger takes {self.max_bytes:,}: "
                               "raise its `max_content_bytes`, or take `content: reference`")  # fmt: skip
        try:
            file = self._opened(view, entry)
            return file if self.kind == "reference" else self._value(entry, file.read())
        except FileChanged:
            raise Changed from None
        except OSError as error:
            if error.errno in GONE:
                raise Changed from None
            raise FileUnreadable(f"{readable(entry.path)} cannot be read: {error.strerror}") from None

    def _opened(self, view: View, entry: Entry) -> OpenedFile:
        name, folder = view.place(entry.path)
        file = OpenedFile(readable(name), os.open(name, _FLAGS, dir_fd=folder))
        if not stat.S_ISREG(file.status.st_mode) or mark_of(file.status) != entry.mark:
            raise Changed
        return file

    def _value(self, entry: Entry, data: bytes) -> Any:
        try:
            if self.kind == "bytes":
                return data
            return data.decode() if self.kind == "text" else json.loads(data)
        except (ValueError, RecursionError) as error:
            raise FileUnreadable(f"{readable(entry.path)} is no {self.kind}: {error}") from None
