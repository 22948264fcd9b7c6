"""Files with one event per line: counted, then read as they are needed, so that a file may be larger than memory.

A line that is no JSON is handed to `refuse` and stops nothing; empty lines are passed over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ...schemas.errors import UsageError
from .event_input import parse_json

REFUSED_SHOWN = 5


def count_lines(file: Path) -> int:
    """How many lines hold something. Raises UsageError if the file cannot be read."""
    try:
        with file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None


def events(file: Path, refuse: Callable[[int, str, str, str], None]) -> Iterator[tuple[int, Any]]:
    """The numbers and values of the lines. `refuse` is told number, type, message and what to say of each that is no JSON."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, parse_json(line.strip(), f"line {number}")
            except UsageError as error:
                why = str(error).removeprefix(f"line {number} ")
                refuse(number, "invalid_json", why, why)


class Bar:
    """A progress bar on a terminal, nothing elsewhere. It keeps out of the way of what is said meanwhile."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(*columns, console=self._console, disable=not sys.stderr.isatty(), transient=True)
        self._task = self._progress.add_task("runs", total=total)
        self._refused = 0
        self.advance: Callable[[], None] = lambda: self._progress.advance(self._task)

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)

    def refused(self, number: int, why: str) -> None:
        """Say so of the first few lines, and count the others only."""
        self._refused += 1
        if self._refused <= REFUSED_SHOWN:
            self.say(f"refused: line {number}: {why}")
        elif self._refused == REFUSED_SHOWN + 1:
            self.say("refused: … more lines are only counted")
        self.advance()
