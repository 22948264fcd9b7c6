"""What `jetfleet run` prints: a result as a table for people, or as one line of JSON for programs."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from rich.console import Console
from rich.table import Table

from ..schemas.errors import JetfleetError
from ..schemas.payload import decode
from .result import RunResult
from .waiting import span

VALUE_CHARACTERS_MAX = 200
"""Of a value in the table, which cuts it further to fit the terminal."""

_STYLES = {"completed": "green", "failed": "red", "skipped": "dim", "cancelled": "yellow", "killed": "red"}


def show(result: RunResult, form: str) -> None:
    """Print a result to standard output."""
    if form == "json":
        click.echo(as_json(result.as_value()))
    else:
        _show_table(result)


def as_json(value: Any) -> str:
    """One line of JSON. Bytes become base64, what JSON has no number for becomes null."""
    return msgspec.json.encode(value, enc_hook=str).decode()


def complain(error: JetfleetError, where: str = "") -> None:
    """One line about something that was refused, to standard error."""
    click.echo(f"error: {where}{error.code} {error}", err=True)


def hint_at_signals() -> None:
    """How to go on with a run that waits for somebody."""
    click.echo(
        "    hint: send signals and answers with --signal 'NAME=JSON', e.g. --signal 'order-7={\"decision\": \"approve\"}';", err=True
    )
    click.echo("          --run-id makes names that contain the run's id known beforehand, --virtual-time skips all waiting", err=True)


def _show_table(result: RunResult) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("NODE", "STATUS", "PORT", "ATTEMPTS", "OUTPUT"):
        table.add_column(column, justify="right" if column == "ATTEMPTS" else "left", no_wrap=True)
    for key, view in result.nodes().items():
        value = "" if view.output is None else _short(decode(view.output))
        style = _STYLES.get(view.status, "")
        table.add_row(key, f"[{style}]{view.status}[/]" if style else view.status, view.port or "", str(view.attempts or ""), value)
    console = Console(highlight=False, soft_wrap=False)
    console.print(table)
    took = span(result.ended_at - result.started_at)
    style = _STYLES.get(result.status, "")
    console.print(f"\nrun [bold]{result.run_id}[/] [{style}]{result.status}[/] in {took}, {result.records} records")
    if result.error is not None:
        where = f" at {result.error.node}" if result.error.node else ""
        console.print(f"error: [red]{result.error.type}[/]{where}: ", end="")
        console.print(result.error.message, markup=False)
    if result.completed:
        console.print("output: ", end="")
        console.print(as_json(result.output), markup=False, soft_wrap=True)


def _short(value: Any) -> str:
    text = as_json(value).replace("[", "\\[")
    return text if len(text) <= VALUE_CHARACTERS_MAX else text[: VALUE_CHARACTERS_MAX - 1] + "…"
