"""Printing: tables for people, lines of JSON for programs. On a terminal with colours, elsewhere plain and never cut off."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...schemas.errors import JetfleetError
from .shown import for_people, for_programs, is_described

STYLES = {"completed": "green", "failed": "red", "skipped": "dim", "cancelled": "yellow", "killed": "red", "running": "cyan"}


def as_json(value: Any) -> str:
    """One line of JSON. Bytes become base64, what JSON has no number for becomes null, a value that lies elsewhere its ref."""
    return msgspec.json.encode(for_programs(value), enc_hook=str).decode()


def as_text(value: Any) -> str:
    """One line for people: JSON as well, with `‹what it is›` in the place of what JSON cannot hold."""
    shown = for_people(value)
    return shown if is_described(value) else msgspec.json.encode(shown, enc_hook=str).decode()


def printable(text: str) -> str:
    """The text with its control characters escaped: what comes from elsewhere must not steer the terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def safe(text: str) -> str:
    """The text as rich shows it literally."""
    return escape(printable(text))


def styled(status: str) -> str:
    style = STYLES.get(status)
    return f"[{style}]{safe(status)}[/]" if style else safe(status)


def complain(error: JetfleetError, where: str = "") -> None:
    """One line about something that was refused, to standard error."""
    click.echo(f"error: {where}{error.code} {error}", err=True)


def note(text: str) -> None:
    """A line about the making of things, to standard error."""
    click.echo(text, err=True)


def show_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str, nothing: str = "") -> None:
    """Print rows to standard output: as `form` json one object per line, else a table of these columns. `nothing` is said of no rows."""
    if form == "json":
        for row in rows:
            click.echo(as_json(row))
    elif not rows:
        note(nothing)
    else:
        show_table([column.upper().replace("_", " ") for column in columns], [[_cell(row[column]) for column in columns] for row in rows])


def show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table to standard output."""
    cells = [[printable(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in head:
            table.add_column(name, overflow="fold")
        for row in cells:
            table.add_row(*map(styled, row))
        Console(highlight=False).print(table)
        return
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    for row in (list(head), *cells):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def show_styled(line: str, style: str, characters: int) -> None:
    """Print a line to standard output, its first characters in a style where there are colours."""
    if sys.stdout.isatty():
        Console(highlight=False).print(f"[{style}]{escape(line[:characters])}[/]{escape(line[characters:])}", soft_wrap=True)
    else:
        click.echo(line)


def moment(ms: int | None) -> str:
    """A time in ms since the epoch, to read: in local time, to the second. One that no calendar has, as it is."""
    try:
        return "" if not ms else datetime.fromtimestamp(ms / 1000).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(ms)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else as_text(value)
