"""How much each run has in the arena, and that no run has more than it may.

Counts what all processes wrote, by reading their entries' headers at most once a second, and what this process is writing right now. Two
processes that write for the same run at the same moment may therefore exceed its limit, by what they write within that second.
Thread-safe.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator

from ...schemas.payload_errors import RunTooLarge
from ...schemas.sizes import size_text
from .folder import Folder
from .index import Index

_FRESH_S = 1.0
_AGAIN_S = 0.05
"""So long a count is good enough to refuse somebody: many may ask while the arena is full."""


class Accounts:
    """`run_max_bytes`: what one run may have."""

    def __init__(self, folder: Folder, run_max_bytes: int) -> None:
        self._index = Index(folder)
        self.run_max_bytes = run_max_bytes
        self._writing: dict[str, int] = {}
        self._written: dict[str, int] = {}  # since the index was read
        self._forgotten: deque[tuple[str, int]] = deque()
        self._read_at = float("-inf")
        self._lock = threading.Lock()

    def reserve(self, run: str, length: int) -> None:
        """The run is going to have `length` bytes more. Raises RunTooLarge."""
        with self._lock:
            self._refresh(_FRESH_S)
            has = self._of(run)
            if has + length > self.run_max_bytes:
                self._refresh(_AGAIN_S)
                has = self._of(run)
            if has + length > self.run_max_bytes:
                raise RunTooLarge(
                    f"run {run or '(none)'} has {size_text(has)} in the arena and wants {size_text(length)} more; "
                    f"one run may have {size_text(self.run_max_bytes)}. "
                    "Give it more with --arena-run-max, or let its nodes hand on less at once"
                )
            self._writing[run] = self._writing.get(run, 0) + length

    def give_up(self, run: str, length: int) -> None:
        """What was reserved is not written."""
        with self._lock:
            self._less(run, length)

    def forget(self, run: str, length: int) -> None:
        """As `give_up`, but takes no lock: it is done before somebody reserves the next time."""
        self._forgotten.append((run, length))

    @contextlib.contextmanager
    def committing(self, run: str, length: int) -> Iterator[None]:
        """What was reserved is written now: nobody counts in between."""
        with self._lock:
            yield
            self._less(run, length)
            self._written[run] = self._written.get(run, 0) + length

    def holders(self) -> str:
        """In words: who has most of the arena."""
        with self._lock:
            self._refresh(_AGAIN_S)
            return self._index.largest(self._written)

    def _of(self, run: str) -> int:
        while self._forgotten:
            self._less(*self._forgotten.popleft())
        return self._index.bytes_of(run) + self._written.get(run, 0) + self._writing.get(run, 0)

    def _less(self, run: str, length: int) -> None:
        left = self._writing.pop(run, 0) - length
        if left:
            self._writing[run] = left

    def _refresh(self, fresh_s: float) -> None:
        now = time.monotonic()
        if now - self._read_at > fresh_s:
            self._index.refresh()
            self._written.clear()
            self._read_at = now
