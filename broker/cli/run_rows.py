"""Runs as lists show them: cells for people, an object per run for programs; and filters that cannot be read, with a pointer to where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from ...schemas.cli import FAILED
from ..read_model.errors import NOWHERE, InvalidSearch
from ..read_model.views import RunRow
from ..study.words import span
from .printing import complain, moment, note, printable, show_rows

COLUMNS = ("run_id", "flow", "status", "started", "took", "why")


def show_runs(rows: Sequence[RunRow], form: str, waits: dict[str, list[str]] | None = None) -> None:
    """Print runs to standard output. `waits`: what open ones wait for, by run."""
    said = waits or {}
    shown = [as_json(row, said.get(row.id)) if form == "json" else as_cells(row, said.get(row.id)) for row in rows]
    show_rows(shown, COLUMNS, form, "no such runs")


def as_json(row: RunRow, waits: list[str] | None = None) -> dict[str, Any]:
    error = None if row.error_type is None else {"type": row.error_type, "message": row.error_message}
    return {
        "run_id": row.id, "flow": row.flow, "version": row.version, "digest": row.digest, "status": row.status, "trigger": row.trigger,
        "started_at": row.started_at, "ended_at": row.ended_at, "duration_ms": row.duration_ms, "error": error, "parent": row.parent,
        "records": row.records, "waits": waits or [],
    }  # fmt: skip


def as_cells(row: RunRow, waits: list[str] | None = None) -> dict[str, Any]:
    """`why`: the error of one that failed, what an open one waits for."""
    error = "" if row.error_type is None else ": ".join(dict.fromkeys((row.error_type, row.error_message or "")))
    took = "" if row.duration_ms is None else span(row.duration_ms)
    why = error or "; ".join(waits or ())
    return {"run_id": row.id, "flow": row.flow, "status": row.status, "started": moment(row.started_at), "took": took, "why": why}


@contextmanager
def pointing_into(where: str) -> Iterator[None]:
    """A filter that cannot be read is shown with a mark under the place, and ends the command."""
    try:
        yield
    except InvalidSearch as error:
        complain(error)
        if error.column != NOWHERE:
            note(f"  {printable(where)}")
            note(f"  {' ' * len(printable(where[: error.column - 1]))}^")
        click.get_current_context().exit(FAILED)
