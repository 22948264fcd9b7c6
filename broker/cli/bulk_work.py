"""Bulk work on the command line: which runs are meant, whether that is really wanted, how far it is, what came of it.

Nothing is done before somebody has agreed: at the terminal, or with `--yes` beforehand.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.errors import UsageError
from ..api import Client
from ..api.bulk import ALREADY, CHANGED, DONE, Acted, Bulk
from ..api.bulk import FAILED as NOT_DONE
from ..api.errors import status_in_words
from ..read_model.views import RunRow
from .lines import Bar
from .printing import as_json, note, printable
from .run_rows import as_json as row_as_json
from .run_rows import pointing_into, show_runs

SHOWN_MAX = 10
"""Runs, and errors, that are shown of many."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line besides the verb: the options of `one_or_many`."""

    where: str | None
    dry_run: bool
    yes: bool
    rate: float | None
    concurrency: int
    form: str


async def tell_many(client: Client, verb: str, wish: Wish, options: dict[str, Any]) -> int:
    """Do it for all runs that match. Returns the exit code. Raises UsageError where nobody is there to agree."""
    where = wish.where or ""
    bulk = client.bulk(verb, where, rate=wish.rate, concurrency=wish.concurrency, **options)
    with pointing_into(where):
        rows = await bulk.find()
    if wish.dry_run:
        _show_found(rows, wish.form)
        return 0
    if not rows:
        note("no such runs")
        return 0
    if not wish.yes and not await _is_agreed(verb, rows):
        note("nothing was done")
        return FAILED
    return await _work(bulk, verb, len(rows), wish.form)


async def _work(bulk: Bulk, verb: str, total: int, form: str) -> int:
    report, started = Report(verb, total), time.perf_counter()
    try:
        with Bar(total) as bar:
            async for acted in bulk.act():
                report.add(acted)
                bar.advance()
                if form == "json":
                    click.echo(as_json(acted.as_value()))
    except asyncio.CancelledError:
        note(f"interrupted: {report.told:,} of {total:,} runs were dealt with, {len(bulk.in_hand):,} more may have been")
        report.show(time.perf_counter() - started, err=form == "json")
        raise
    report.show(time.perf_counter() - started, err=form == "json")
    return report.code


def _show_found(rows: list[RunRow], form: str) -> None:
    if form == "json":
        click.echo(as_json({"matched": len(rows), "first": [row_as_json(row) for row in rows[:SHOWN_MAX]]}))
        return
    click.echo(_count(len(rows)) + (f"; the first {SHOWN_MAX}:" if len(rows) > SHOWN_MAX else ""))
    show_runs(rows[:SHOWN_MAX], form)


def _count(number: int) -> str:
    return "1 run matches" if number == 1 else f"{number:,} runs match"


async def _is_agreed(verb: str, rows: list[RunRow]) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(f"{_count(len(rows))} and nobody is at a terminal to agree: say --yes, or --dry-run to see them")
    _show_found(rows, "table")
    click.echo(f"{verb} {'it' if len(rows) == 1 else f'all {len(rows):,}'}? [y/N] ", nl=False, err=True)
    return (await _line()).strip().lower() in ("y", "yes")


async def _line() -> str:
    """A line from the terminal. The loop goes on meanwhile: a connection that nobody serves would be dropped, and Ctrl-C must work."""
    loop = asyncio.get_running_loop()
    there: asyncio.Future[None] = loop.create_future()

    def typed() -> None:
        if not there.done():
            there.set_result(None)

    loop.add_reader(sys.stdin.fileno(), typed)
    try:
        await there
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()


@dataclass(slots=True)
class Report:
    """What came of them: counted, and the first few errors."""

    verb: str
    total: int
    outcomes: Counter[str] = field(default_factory=Counter)
    stood: Counter[str] = field(default_factory=Counter)  # how those were that needed nothing
    errors: list[Acted] = field(default_factory=list)

    @property
    def told(self) -> int:
        return self.outcomes.total()

    @property
    def code(self) -> int:
        return FAILED if self.outcomes[NOT_DONE] or self.told < self.total else 0

    def add(self, acted: Acted) -> None:
        self.outcomes[acted.how] += 1
        if acted.how == ALREADY:
            self.stood[acted.status] += 1
        if acted.how == NOT_DONE and len(self.errors) < SHOWN_MAX:
            self.errors.append(acted)

    def show(self, took_s: float, *, err: bool) -> None:
        """Print it: to standard output, or with `err` to standard error, where the other is for programs."""
        for line in self._lines(took_s):
            click.echo(line, err=err)

    def _lines(self, took_s: float) -> list[str]:
        lines = [f"{self.verb}: {self.outcomes[DONE]:,} of {self.total:,} in {took_s:.1f} s"]
        lines += [
            f"  {count:,} {'has' if count == 1 else 'have'} {_in_words(status)} already" for status, count in sorted(self.stood.items())
        ]
        if changed := self.outcomes[CHANGED]:
            lines.append(
                f"  {changed:,} {'does' if changed == 1 else 'do'} not match any more, and {'was' if changed == 1 else 'were'} left"
            )
        if failed := self.outcomes[NOT_DONE]:
            lines.append(f"  {failed:,} failed" + (f", the first {SHOWN_MAX}:" if failed > SHOWN_MAX else ":"))
        lines += [f"    {one.run}: {one.error.code} {printable(str(one.error))}" for one in self.errors if one.error is not None]
        if self.told < self.total:
            lines.append(f"  {self.total - self.told:,} were not tried; the same command goes on with them")
        return lines


def _in_words(status: str) -> str:
    return {"paused": "been paused", "running": "gone on", "compensating": "begun to end"}.get(status) or status_in_words(status)
