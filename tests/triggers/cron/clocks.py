"""Clocks on the wall that a test sets, of processes that really run: a small library moves what the system tells them of the time."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("settable_clock.c")


class Clocks:
    def __init__(self, folder: Path) -> None:
        """Skips the test where there is no C compiler."""
        compiler = shutil.which("cc") or pytest.skip("install a C compiler")
        self._library = folder / "settable_clock.so"
        self._folder = folder
        subprocess.run([compiler, "-O", "-shared", "-fPIC", "-Wall", "-Werror", "-o", self._library, SOURCE, "-ldl"], check=True)

        self._prove()

    def _prove(self) -> None:
        with self.given(clock := self._folder / "proof"):
            put(clock, 86_400)
            said = subprocess.run([sys.executable, "-c", "import time; print(time.time())"], capture_output=True, check=True)
        assert float(said.stdout) > time.time() + 86_000, "a program's clock does not move"

    @contextmanager
    def given(self, clock: Path) -> Iterator[None]:
        """Processes that are started in here have the clock in this file."""
        put(clock, 0)
        said = {"LD_PRELOAD": str(self._library), "SETTABLE_CLOCK": str(clock)}
        with pytest.MonkeyPatch.context() as patch:
            for name, value in said.items():
                patch.setitem(os.environ, name, value)
            yield


def put(clock: Path, ahead_s: int) -> None:
    """Set it ahead of the true time, or behind."""
    with clock.open("r+b" if clock.exists() else "wb") as file:  # the same file: processes look into it
        file.write(struct.pack("q", ahead_s))
