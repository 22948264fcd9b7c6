"""Batches: one run per line of a file, a bounded number at a time, and a summary at the end.

A line that is no JSON, or that the flow's `inputs` refuse, is counted and named; it stops nothing. Lines are read as runs end, so
that a file may be larger than memory.
"""

from __future__ import annotations

import asyncio
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..schemas.cli import FAILED
from ..schemas.errors import EventRejected, UsageError
from ..schemas.plan.plan import Plan
from . import output
from .event_input import parse_json
from .result import RunResult
from .runner import LocalRunner

PARALLEL_DEFAULT = 16
REFUSED_SHOWN = 5
ERRORS_SHOWN = 5


@dataclass(slots=True)
class Tally:
    """What has come of the lines so far. `took_s` are the runs' durations, in the order of their ends."""

    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    first_lines: dict[str, int] = field(default_factory=dict)  # by error
    refused: int = 0
    took_s: array[float] = field(default_factory=lambda: array("d"))
    attempts: int = 0

    @property
    def clean(self) -> bool:
        return self.refused == 0 and set(self.statuses) <= {"completed"}

    def add(self, line: int, result: RunResult, took_s: float) -> None:
        self.statuses[result.status] += 1
        self.took_s.append(took_s)
        self.attempts += sum(view.attempts for view in result.nodes().values())
        if result.error is not None:
            error = f"{result.error.node or 'run'}: {result.error.type}: {result.error.message}"
            self.errors[error] += 1
            self.first_lines[error] = min(line, self.first_lines.get(error, line))


class Batch:
    """One file's runs. `form` json prints each result as a line to standard output, in the order of their ends.

    The lines have the number of their event's line, `line`. So have those for events that were refused: `{line, status, error}`.
    """

    def __init__(
        self, runner: LocalRunner, plan: Plan, *, trigger: str | None, signals: list[tuple[str, Any]], parallel: int, form: str
    ) -> None:
        self.tally = Tally()
        self._runner = runner
        self._plan = plan
        self._trigger = trigger
        self._signals = signals
        self._parallel = parallel
        self._form = form
        self._open: dict[asyncio.Future[RunResult], tuple[int, float]] = {}  # with its line and the moment of its start

    async def run(self, file: Path) -> int:
        """Run the flow once per line and print the summary, also when interrupted. Returns the exit code."""
        total = _count_lines(file)
        if total == 0:
            click.echo(f"no events in {file}", err=True)
            return 0
        started = time.perf_counter()
        try:
            async with self._runner:
                with _Bar(total) as self._bar:
                    await self._run_lines(self._events(file))
                    await self._runner.drain()
        except asyncio.CancelledError:
            click.echo(f"interrupted: {len(self.tally.took_s):,} of {total:,} lines were run", err=True)
            raise
        finally:
            _summarise(self.tally, time.perf_counter() - started)
        return 0 if self.tally.clean else FAILED

    async def _run_lines(self, lines: Iterator[tuple[int, Any]]) -> None:
        more = True
        while more or self._open:
            while more and len(self._open) < self._parallel:
                number, event = next(lines, (0, None))
                more = number > 0
                if more:
                    self._start(number, event)
            if self._open:
                ended, _ = await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)
                for future in [future for future in self._open if future in ended]:
                    self._take(future)

    def _start(self, number: int, event: Any) -> None:
        try:
            run = self._runner.start(self._plan, event, trigger=self._trigger)
        except EventRejected as error:
            self._refuse(number, error.code.lower(), str(error), f"{error.code} {error}")
            return
        for name, value in self._signals:
            run.signal(name, value)
        self._open[run.ended] = (number, time.perf_counter())

    def _take(self, ended: asyncio.Future[RunResult]) -> None:
        result = ended.result()
        line, started = self._open.pop(ended)
        self.tally.add(line, result, time.perf_counter() - started)
        if self._form == "json":
            click.echo(output.as_json({**result.as_value(), "line": line}))
        self._bar.advance()

    def _events(self, file: Path) -> Iterator[tuple[int, Any]]:
        """The numbers and values of the lines that hold one."""
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    yield number, parse_json(line.strip(), f"line {number}")
                except UsageError as error:
                    why = str(error).removeprefix(f"line {number} ")
                    self._refuse(number, "invalid_json", why, why)

    def _refuse(self, number: int, type: str, message: str, why: str) -> None:
        self.tally.refused += 1
        if self._form == "json":
            click.echo(output.as_json({"line": number, "status": "refused", "error": {"type": type, "message": message}}))
        if self.tally.refused <= REFUSED_SHOWN:
            self._bar.say(f"refused: line {number}: {why}")
        elif self.tally.refused == REFUSED_SHOWN + 1:
            self._bar.say("refused: … more lines are only counted")
        self._bar.advance()


def _count_lines(file: Path) -> int:
    try:
        with file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None


class _Bar:
    """A progress bar on a terminal, nothing elsewhere. It keeps out of the way of what is said meanwhile."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(*columns, console=self._console, disable=not sys.stderr.isatty(), transient=True)
        self._task = self._progress.add_task("runs", total=total)
        self.advance: Callable[[], None] = lambda: self._progress.advance(self._task)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def _summarise(tally: Tally, took_s: float) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, value in _figures(tally, took_s):
        table.add_row(name, value)
    console = Console(stderr=True, highlight=False)
    console.print(table)
    for error, count in tally.errors.most_common(ERRORS_SHOWN):
        where = "line" if count == 1 else "first in line"
        console.print(
            f"{count} × {output.printable(error)} ({where} {tally.first_lines[error]})", markup=False, style="red", soft_wrap=True
        )


def _figures(tally: Tally, took_s: float) -> Iterator[tuple[str, str]]:
    for status, count in sorted(tally.statuses.items()):
        yield status, f"{count:,}"
    if tally.refused:
        yield "refused", f"{tally.refused:,}"
    took = sorted(tally.took_s)
    if took:
        yield "p50", f"{took[len(took) // 2] * 1e3:.2f} ms"
        yield "p99", f"{took[min(int(len(took) * 0.99), len(took) - 1)] * 1e3:.2f} ms"
        yield "nodes/s", f"{tally.attempts / took_s:,.0f}"
        yield "runs/s", f"{len(took) / took_s:,.0f}"
