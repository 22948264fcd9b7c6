"""A payload's value on standard output: texts and bytes as they are, structures as JSON, of what is large the beginning.

bytes, files        raw. Onto a terminal only where they are text, or with `raw`
text                as it is
maps, lists, …      one line of JSON
arrays              as NumPy prints them, shortened;           -o json: nested lists
tables, frames      the first rows;                            -o json: an object per row
images              what they are
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from ...schemas.errors import UsageError
from ..codecs.registry import codec_name
from .printing import as_json, as_text, show_table

ROWS_SHOWN = 20
_LOOKED_AT_BYTES = 4096
_BATCH_ROWS = 10_000


def show_value(value: Any, form: str, raw: bool) -> None:
    """Print a value. `form`: table or json; `raw`: bytes even onto a terminal. Raises UsageError for bytes that do not belong there."""
    kind = codec_name(type(value))
    if kind in ("bytes", "buffer", "file"):
        _write(memoryview(getattr(value, "body", value)), raw)
    elif kind == "text" and form != "json":
        click.echo(value)
    elif kind == "numpy":
        click.echo(as_json(value.tolist()) if form == "json" else f"{as_text(value)}\n{value}")
    elif kind in ("arrow", "pandas"):
        _show_rows(value, form)
    else:
        click.echo(as_json(value) if form == "json" else as_text(value))


def _write(body: memoryview, raw: bool) -> None:
    if sys.stdout.isatty() and not raw and not _is_text(bytes(body[:_LOOKED_AT_BYTES])):
        raise UsageError(f"{body.nbytes:,} bytes that are no text do not belong onto a terminal: save them to a file, or say --raw")
    sys.stdout.buffer.write(body)


def _is_text(beginning: bytes) -> bool:
    if b"\0" in beginning:
        return False
    try:
        beginning.decode()
    except UnicodeDecodeError as error:
        return error.start > len(beginning) - 4  # a character may be cut in two at the end
    return True


def _show_rows(value: Any, form: str) -> None:
    if form == "json":
        for row in rows_of(value):
            click.echo(as_json(row))
        return
    table = _as_table(value)
    click.echo(as_text(value))
    show_table(table.column_names, ([_cell(cell) for cell in row.values()] for row in rows_of(table.slice(0, ROWS_SHOWN))))
    if table.num_rows > ROWS_SHOWN:
        click.echo(f"… {table.num_rows - ROWS_SHOWN:,} more rows")


def rows_of(value: Any) -> Iterator[dict[str, Any]]:
    """The rows of a table or frame, a batch at a time: as Python objects they take many times the memory of the table."""
    for batch in _as_table(value).to_batches(_BATCH_ROWS):
        yield from batch.to_pylist()


def _as_table(value: Any) -> Any:
    from .payload_tables import as_table  # it needs pyarrow, as whoever wrote the value did

    return as_table(value)


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else as_text(value)
