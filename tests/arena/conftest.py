"""Arenas in temporary folders, and a file system of a few MiB."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jetfleet.broker.arena import Arena, ArenaSettings

MIB = 1 << 20


@pytest.fixture
def settings(tmp_path: Path) -> ArenaSettings:
    return ArenaSettings(tmp_path / "arena", max_bytes=16 * MIB, run_max_bytes=16 * MIB, keep_s=0.0, segment_bytes=MIB)


@pytest.fixture
def open_arena() -> Iterator[Callable[[ArenaSettings], Arena]]:
    """Opens arenas that are closed at the end."""
    opened: list[Arena] = []

    def open_one(settings: ArenaSettings) -> Arena:
        opened.append(Arena.open(settings))
        return opened[-1]

    yield open_one
    for arena in opened:
        arena.close()


@pytest.fixture
def arena(settings: ArenaSettings, open_arena: Callable[[ArenaSettings], Arena]) -> Arena:
    return open_arena(settings)


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 4 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a tmpfs needs root on Linux")
    place = tmp_path / "tmpfs"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
