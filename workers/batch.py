"""Batches: one run per line of a file, a bounded number at a time, and a summary at the end.

A line that is no JSON, or that the flow's `inputs` refuse, is counted and named; it stops nothing. Lines are read as runs end, so
that a file may be larger than memory.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..broker.cli.lines import Bar, count_lines, events
from ..broker.cli.printing import as_json
from ..broker.cli.tally import Tally
from ..broker.run_result import RunResult
from ..schemas.cli import FAILED
from ..schemas.errors import EventRejected
from ..schemas.plan.plan import Plan
from .runner import LocalRunner

PARALLEL_DEFAULT = 16


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
        total = count_lines(file)
        if total == 0:
            click.echo(f"no events in {file}", err=True)
            return 0
        started = time.perf_counter()
        try:
            async with self._runner:
                with Bar(total) as self._bar:
                    await self._run_lines(events(file, self._refuse))
                    await self._runner.drain()
        except asyncio.CancelledError:
            click.echo(f"interrupted: {len(self.tally.took_s):,} of {total:,} lines were run", err=True)
            raise
        finally:
            self.tally.show(time.perf_counter() - started)
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
        attempts = sum(view.attempts for view in result.nodes().values())
        self.tally.add(line, result.status, result.error, time.perf_counter() - started, attempts)
        if self._form == "json":
            click.echo(as_json({**result.as_value(), "line": line}))
        self._bar.advance()

    def _refuse(self, number: int, type: str, message: str, why: str) -> None:
        self.tally.refused += 1
        if self._form == "json":
            click.echo(as_json({"line": number, "status": "refused", "error": {"type": type, "message": message}}))
        self._bar.refused(number, why)
