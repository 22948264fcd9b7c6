"""Where an entry lies, for tests that spoil it or look after it from outside."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

from jetfleet.broker.arena import Arena
from jetfleet.schemas.ref import Ref


def segment_file(arena: Arena, ref: Ref) -> Path:
    return arena.settings.folder / f"{ref.segment}.seg"


def flip(file: Path, offset: int) -> None:
    """Change one bit."""
    with open(file, "r+b") as opened:
        byte = os.pread(opened.fileno(), 1, offset)
        os.pwrite(opened.fileno(), bytes([byte[0] ^ 4]), offset)


def forget_pages(file: Path) -> None:
    """What was written is on the disk, and not in memory any more."""
    with open(file, "rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill(file: Path) -> None:
    """Write zeros until the file system is full."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT)
    try:
        while True:
            os.write(fd, bytes(4096))
    except OSError as error:
        assert error.errno == errno.ENOSPC
    finally:
        os.close(fd)


def segments(folder: Path, ending: str = ".seg") -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(ending))


def process(script: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that runs a script, `sys.argv[1:]` being the arguments."""
    return subprocess.Popen([sys.executable, "-c", script, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
