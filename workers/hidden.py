"""Standard output and error of a process that runs node code, without the secrets that it knows.

What is printed, logged by whatever library, or told by a traceback goes through here. What is written to the descriptors past `sys.stdout`
and `sys.stderr` (by C code, by child programs) does not.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any


class HiddenStream(io.TextIOBase):
    """The stream, with every text that is written passed through `redact` first."""

    def __init__(self, stream: Any, redact: Callable[[str], str]) -> None:
        self._stream, self._redact = stream, redact

    def write(self, text: str) -> int:
        self._stream.write(self._redact(text))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return bool(self._stream.isatty())

    def fileno(self) -> int:
        return int(self._stream.fileno())

    @property
    def buffer(self) -> Any:
        return self._stream.buffer

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self._stream.encoding)


@contextlib.contextmanager
def hidden(redact: Callable[[Any], Any]) -> Iterator[None]:
    """For as long as it lasts."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (HiddenStream(stream, redact) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
