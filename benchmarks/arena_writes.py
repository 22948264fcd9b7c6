"""How fast a value comes into the arena: encoded, copied and with its checksum, against a plain copy of as many bytes.

Writes and copies take turns in one process, so that both get the same machine. A copy goes into memory that has been touched before,
and moves on through a buffer as large as a segment, as the arena's writes do: otherwise small copies would stay in the cache, and large
ones not. In the steady state runs end and their segments are used again; the first write of a new arena gets pages that nobody had
before, so it is compared with a plain copy into new memory as well.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jetfleet.broker.arena.arena import Arena
from jetfleet.broker.arena.keeper import Keeper
from jetfleet.broker.arena.settings import ArenaSettings
from jetfleet.broker.codecs.registry import codec_for

from .payload_nodes import numbers
from .processes import BenchmarkFailed

SEGMENT_BYTES = 64 << 20
MOVED_BYTES = 2 << 30
ROUNDS_MIN, ROUNDS_MAX = 5, 500
COLD_ROUNDS = 3
WARM_UP_SWEEPS = 8
"""After so many the same few segments go round, and all their pages are mapped."""


async def measure(folder: Path, kind: str, size: int, scale: float) -> dict[str, Any]:
    """The figures of one kind and size, in arenas of its own below `folder`, which are gone afterwards."""
    value = numbers(size, 0) if kind == "float64" else numbers(size, 0).tobytes()
    copy = Copy(size)
    first = [_first(folder, value, size, copy) for _ in range(COLD_ROUNDS)]
    rounds = min(max(int(MOVED_BYTES * scale) // size, ROUNDS_MIN), ROUNDS_MAX)
    write_s, copy_s = await _steady(folder, value, size, copy, rounds)
    return {
        "write_mb_s": round(size / statistics.median(write_s) / 1e6),
        "memcpy_mb_s": round(size / statistics.median(copy_s) / 1e6),
        "write_ratio": round(statistics.median(copied / written for written, copied in zip(write_s, copy_s, strict=True)), 3),
        "first_write_ratio": round(statistics.median(round.copy_s / round.write_s for round in first), 3),
        "first_write_new_ratio": round(statistics.median(round.new_copy_s / round.write_s for round in first), 3),
    }


class Copy:
    """A plain copy of `size` bytes, with the same means as the arena's."""

    def __init__(self, size: int) -> None:
        self._source = np.ones(size, np.uint8).data
        self._target = np.ones(max(size, SEGMENT_BYTES), np.uint8).data
        self._size, self._at = size, 0

    def __call__(self) -> None:
        if self._at + self._size > len(self._target):
            self._at = 0
        self._target[self._at : self._at + self._size] = self._source
        self._at += self._size

    def into_new_memory(self) -> None:
        np.empty(self._size, np.uint8).data[:] = self._source


class Writing:
    """An arena that is written to, and whose runs are all over when it is swept."""

    def __init__(self, folder: Path, value: Any, size: int) -> None:
        settings = ArenaSettings(
            folder=folder, max_bytes=4 * max(size, SEGMENT_BYTES), run_max_bytes=2 * max(size, SEGMENT_BYTES), keep_s=0
        )
        self._value, self._codec = value, codec_for(value)
        self._arena, self._keeper = Arena.open(settings), Keeper(settings)
        self._epoch = 0
        if not self._keeper.acquire():
            raise BenchmarkFailed(f"somebody else looks after the arena {folder}")

    def __call__(self) -> None:
        assert self._codec is not None
        encoded = self._codec.encode(self._value)
        self._arena.write(self._codec.name, encoded.parts, run=f"run-{self._epoch}", meta=encoded.meta, count=encoded.count)

    async def sweep(self) -> None:
        """The runs so far are over: their segments may be used again."""
        self._epoch += 1
        await self._keeper.sweep(_all)

    def close(self) -> None:
        self._keeper.release()
        self._arena.close()


async def _all(runs: set[str]) -> set[str]:
    return runs


@dataclass(frozen=True, slots=True)
class First:
    """Seconds of the first write of a new arena, and of a plain copy, into memory that was touched before and into new one."""

    write_s: float
    copy_s: float
    new_copy_s: float


def _first(folder: Path, value: Any, size: int, copy: Copy) -> First:
    copy()
    with tempfile.TemporaryDirectory(dir=folder) as new:
        writing = Writing(Path(new) / "arena", value, size)
        try:
            return First(copy_s=_timed(copy), new_copy_s=_timed(copy.into_new_memory), write_s=_timed(writing))
        finally:
            writing.close()


async def _steady(folder: Path, value: Any, size: int, copy: Copy, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each write and of each copy, in turns, when segments are being used again."""
    with tempfile.TemporaryDirectory(dir=folder) as new:
        writing = Writing(Path(new) / "arena", value, size)
        write_s: list[float] = []
        copy_s: list[float] = []
        per_sweep = max(SEGMENT_BYTES // (size + 4096), 1)
        try:
            for _ in range(WARM_UP_SWEEPS):
                for _ in range(min(per_sweep, ROUNDS_MAX)):
                    writing()
                    copy()
                await writing.sweep()
            for number in range(rounds):
                write_s.append(_timed(writing))
                copy_s.append(_timed(copy))
                if (number + 1) % per_sweep == 0:
                    await writing.sweep()
        finally:
            writing.close()
    return write_s, copy_s


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
