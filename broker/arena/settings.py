"""What an arena is told: where it lies and how large it may grow. And what that means on this file system."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .layout import HEADER_BLOCK_BYTES, aligned

MIB = 1 << 20
SMALLEST_DEFAULT_BYTES = 256 * MIB
SMALLEST_SEGMENT_BYTES = 64 << 10
SEGMENTS_AT_LEAST = 8
"""So many segments fit into an arena, however small it is: one run must not hold all room with one small value."""


@dataclass(frozen=True, slots=True)
class ArenaSettings:
    """`folder`: on a local file system. `max_bytes`: all segments together; None: a quarter of the file system, at least 256 MiB, and
    never more than the arena has and is free. `run_max_bytes`: the values of one run; None: half of `max_bytes`. `keep_s`: how long
    after its run's end a value stays. `segment_bytes`: of a usual segment; smaller where `max_bytes` is small.
    """

    folder: Path
    max_bytes: int | None = None
    run_max_bytes: int | None = None
    keep_s: float = 60.0
    segment_bytes: int = 64 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """The settings' sizes, decided."""

    max_bytes: int
    run_max_bytes: int
    segment_bytes: int


def limits(settings: ArenaSettings, folder_fd: int, used_bytes: int) -> Limits:
    """What the settings mean for an arena that has `used_bytes` already."""
    max_bytes = settings.max_bytes
    if max_bytes is None:
        system = os.fstatvfs(folder_fd)
        quarter = system.f_blocks * system.f_frsize // 4
        free = system.f_bavail * system.f_frsize
        max_bytes = min(max(quarter, SMALLEST_DEFAULT_BYTES), used_bytes + free)
    run_max_bytes = max_bytes // 2 if settings.run_max_bytes is None else min(settings.run_max_bytes, max_bytes)
    segment_bytes = max(min(settings.segment_bytes, max_bytes // SEGMENTS_AT_LEAST), SMALLEST_SEGMENT_BYTES)
    return Limits(max_bytes, run_max_bytes, aligned(segment_bytes, HEADER_BLOCK_BYTES))
