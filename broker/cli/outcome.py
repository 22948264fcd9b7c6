"""The outcome of a run, printed: a table of its nodes and how it ended for people, or one line of JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ...schemas.payload import decode
from ...schemas.plan.plan import NONE
from ...schemas.records import Error
from ..run_result import RunResult
from ..study.words import span
from .printing import as_json, as_text, printable, safe, styled

if TYPE_CHECKING:
    from ..api import Result

VALUE_CHARACTERS_MIN = 20
"""What is shown of a value in the table, however narrow the terminal is."""

_COLUMNS = ("NODE", "STATUS", "PORT", "ATTEMPTS")


def show(result: RunResult, form: str) -> None:
    """Print a result to standard output."""
    if form == "json":
        click.echo(as_json(result.as_value()))
    else:
        _show_table(result)


def show_end(result: Result, form: str) -> None:
    """Print what a client was told of a run's end: all but its nodes."""
    if form == "json":
        click.echo(as_json(result.as_value()))
        return
    click.echo(f"run {result.run_id} {result.status}")
    if result.error is not None:
        click.echo(f"error: {printable(result.error.type)}: {printable(result.error.message)}")
    if result.completed:
        click.echo(f"output: {printable(as_text(result.output))}")


def end_lines(result: RunResult) -> Iterator[str]:
    """How a run ended, without colours: its status, then its error and where that comes from, or its output."""
    records = "1 record" if result.records == 1 else f"{result.records:,} records"
    yield f"run {result.run_id} {result.status} in {span(result.ended_at - result.started_at)}, {records}"
    if result.error is not None:
        where = f" at {result.error.node}" if result.error.node else ""
        yield f"error: {printable(result.error.type)}{where}: {printable(result.error.message)}"
        yield from map(printable, _background(result, result.error))
    if result.completed:
        yield f"output: {printable(as_text(result.output))}"


def _show_table(result: RunResult) -> None:
    console = Console(highlight=False, soft_wrap=False)
    _show_nodes(result, console)
    took = "" if _is_open(result) else f" in {span(result.ended_at - result.started_at)}"
    records = "1 record" if result.records == 1 else f"{result.records:,} records"
    console.print(f"\nrun [bold]{escape(result.run_id)}[/] {styled(result.status)}{took}, {records}")
    if result.error is not None:
        where = f" at {result.error.node}" if result.error.node else ""
        console.print(f"error: [red]{safe(result.error.type)}[/]{where}: {safe(result.error.message)}", soft_wrap=True)
        for line in _background(result, result.error):
            console.print(safe(line), soft_wrap=True)
    if result.completed:
        console.print(f"output: {safe(as_text(result.output))}", soft_wrap=True)


def _is_open(result: RunResult) -> bool:
    return result.state is not None and not result.state.ended


def _background(result: RunResult, error: Error) -> Iterator[str]:
    """Where in the node's code the error comes from, and what could not be undone."""
    failures = _detail(error.details, "compensation_errors") or ()
    cause = _detail(error.details, "cause") if failures else error.details
    frames = _detail(cause, "traceback")
    if frames:
        yield f"    at {frames[-1].partition(': ')[0]}"
    plan = None if result.state is None else result.state.plan
    for failure in failures:
        node = failure["node"]
        undone = [one.id for one in plan.nodes if one.compensate != NONE and plan.nodes[one.compensate].id == node] if plan else []
        undoes = f" (undoes {', '.join(undone)})" if undone else ""
        yield f"not undone: {node}{undoes}: {failure['type']}: {failure['message']}"


def _detail(details: Any, key: str) -> Any:
    """Details are whatever node code put there: only a list of ours counts."""
    return details.get(key) if isinstance(details, dict) else None


def _show_nodes(result: RunResult, console: Console) -> None:
    views = result.nodes()
    rows = [(key, view.status, view.port or "", str(view.attempts or "")) for key, view in views.items()]
    widths = [max(len(cell) for cell in column) for column in zip(_COLUMNS, *rows, strict=True)]
    room = max(console.width - sum(widths) - 2 * len(widths), VALUE_CHARACTERS_MIN)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column, width in zip(_COLUMNS, widths, strict=True):
        table.add_column(column, justify="right" if column == "ATTEMPTS" else "left", no_wrap=True, min_width=width)
    table.add_column("OUTPUT", no_wrap=True)
    for (key, status, port, attempts), view in zip(rows, views.values(), strict=True):
        value = "" if view.output is None else _short(as_text(decode(view.output)), room)
        table.add_row(escape(key), styled(status), port, attempts, escape(value))
    console.print(table)


def _short(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"
