"""The memory of another process while it works: how much more of its own it takes, and how much it has mapped with others.

Linux counts the pages of a process by what they are. `RssAnon` is memory that it has to itself: a copy of a value shows there. Mapped files
(`RssFile`, and `RssShmem` for those of a tmpfs) lie in memory once, however many processes map them. The first is looked at every
millisecond; the peak of all together (`VmHWM`) the kernel keeps, so that nothing is missed between two looks.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

LOOK_S = 0.001
RESET_PEAK = "5"
"""What `clear_refs` takes as: forget the peak."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident bytes of a process: its own, mapped, and all together at most since the peak was forgotten."""

    own: int
    mapped: int
    peak: int

    @property
    def resident(self) -> int:
        return self.own + self.mapped


class Footprint:
    """Watches one process as a context manager. Afterwards `own_bytes`, `mapped_bytes` and `peak_bytes` say what came on top at most."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.own_bytes = self.mapped_bytes = self.peak_bytes = 0

    def __enter__(self) -> Self:
        forget_peak(self._pid)
        self._before = memory_of(self._pid)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._look()
        self.peak_bytes = max(memory_of(self._pid).peak - self._before.resident, 0)

    def _watch(self) -> None:
        while not self._ended.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        now = memory_of(self._pid)
        self.own_bytes = max(self.own_bytes, now.own - self._before.own)
        self.mapped_bytes = max(self.mapped_bytes, now.mapped - self._before.mapped)


def memory_of(pid: int) -> Memory:
    """Raises FileNotFoundError if there is no such process, ProcessLookupError if it has just ended."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines) if name.startswith(("Rss", "VmHWM"))}
    return Memory(kib["RssAnon"] << 10, (kib["RssFile"] + kib["RssShmem"]) << 10, kib["VmHWM"] << 10)


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
