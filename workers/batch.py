"""Batches: one run per line of a file, a bounded number at a time, and a summary at the end.

A line that is no JSON, or that the flow's `inputs` refuse, is counted and named; it stops nothing. Lines are read as runs end, so
that a file may be larger than memory.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
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
from .local_run import LocalRun
from .result import RunResult
from .runner import LocalRunner

PARALLEL_DEFAULT = 16
REFUSED_SHOWN = 5
ERRORS_SHOWN = 5


def read_value(text: str | None) -> Any:
    """The value of `--input`: JSON, `@file`, or `@-`. Raises UsageError."""
    if text is None:
        return None
    where = text if text.startswith("@") else "the input"
    if text == "@-":
        text = sys.stdin.read()
    elif text.startswith("@"):
        try:
            text = Path(text[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{where[1:]} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return parse_json(text, where)


def parse_json(text: str, where: str) -> Any:
    """Raises UsageError with line and column if the text is no JSON (NaN and Infinity are not)."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply") from None
    except ValueError as error:
        raise UsageError(f"{where} is no JSON: {error}; a text needs its quotes: '\"text\"'") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


@dataclass(slots=True)
class Tally:
    """What has come of the lines so far. `took_s` are the runs' durations, in the order of their ends."""

    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    took_s: list[float] = field(default_factory=list)
    attempts: int = 0

    @property
    def clean(self) -> bool:
        return self.refused == 0 and set(self.statuses) <= {"completed"}

    def add(self, result: RunResult, took_s: float) -> None:
        self.statuses[result.status] += 1
        self.took_s.append(took_s)
        self.attempts += sum(1 for view in result.nodes().values() if view.attempts)
        if result.error is not None:
            self.errors[f"{result.error.node or 'run'}: {result.error.type}: {result.error.message}"] += 1


async def run_lines(
    runner: LocalRunner, plan: Plan, file: Path, trigger: str | None, signals: list[tuple[str, Any]], parallel: int, form: str
) -> int:
    """Run the flow once per line. Returns the exit code."""
    tally = Tally()
    started = time.perf_counter()
    async with runner:
        with _progress(_count_lines(file)) as advance:
            lines = _events(file, tally, advance)
            workers = [_work(runner, plan, lines, trigger, signals, tally, form, advance) for _ in range(parallel)]
            await asyncio.gather(*workers)
    _summarise(tally, time.perf_counter() - started)
    return 0 if tally.clean else FAILED


async def _work(
    runner: LocalRunner, plan: Plan, lines: Iterator[tuple[int, Any]], trigger: str | None, signals: list[tuple[str, Any]],
    tally: Tally, form: str, advance: Any,
) -> None:  # fmt: skip
    """One of the parallel hands: takes the next line until there is none."""
    for number, event in lines:
        began = time.perf_counter()
        try:
            run = runner.start(plan, event, trigger=trigger)
        except EventRejected as error:
            _refuse(tally, number, f"{error.code} {error}")
            advance()
            continue
        for name, value in signals:
            run.signal(name, value)
        result = await _result(run)
        tally.add(result, time.perf_counter() - began)
        if form == "json":
            click.echo(output.as_json(result.as_value()))
        advance()


async def _result(run: LocalRun) -> RunResult:
    """The run's result; a run that only somebody else could move is cancelled with that reason."""
    while not run.ended.done():
        await asyncio.wait([run.ended], timeout=0.25)
        if run.needs_help:
            run.cancel("nobody can send it what it waits for: " + "; ".join(map(str, run.blocked_on())))
    return run.ended.result()


def _events(file: Path, tally: Tally, advance: Any) -> Iterator[tuple[int, Any]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield number, parse_json(line.decode("utf-8"), f"line {number}")
            except (UsageError, UnicodeDecodeError) as error:
                _refuse(tally, number, str(error))
                advance()


def _refuse(tally: Tally, number: int, why: str) -> None:
    tally.refused += 1
    if tally.refused <= REFUSED_SHOWN:
        click.echo(f"refused: line {number}: {why}", err=True)
    elif tally.refused == REFUSED_SHOWN + 1:
        click.echo("refused: … more lines are only counted", err=True)


def _count_lines(file: Path) -> int:
    try:
        with file.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from None


class _progress:
    """A progress bar on a terminal; nothing elsewhere. Entering it gives the function that counts one line as done."""

    def __init__(self, total: int) -> None:
        columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True)
        self._task = self._bar.add_task("runs", total=total)

    def __enter__(self) -> Any:
        self._bar.start()
        return lambda: self._bar.advance(self._task)

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()


def _summarise(tally: Tally, took_s: float) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for status, count in sorted(tally.statuses.items()):
        table.add_row(status, str(count))
    if tally.refused:
        table.add_row("refused", str(tally.refused))
    took = sorted(tally.took_s)
    if took:
        table.add_row("p50", f"{took[len(took) // 2] * 1e3:.2f} ms")
        table.add_row("p99", f"{took[min(int(len(took) * 0.99), len(took) - 1)] * 1e3:.2f} ms")
        table.add_row("nodes/s", f"{tally.attempts / took_s:,.0f}")
        table.add_row("runs/s", f"{len(took) / took_s:,.0f}")
    console = Console(stderr=True, highlight=False)
    console.print(table)
    for error, count in tally.errors.most_common(ERRORS_SHOWN):
        console.print(f"{count} × {error}", markup=False, style="red")
