"""`jetfleet arena …`: what lies in the arena of this host, whether it is whole, and freeing what nobody needs any more.

0    done, all is whole        1    something in the arena is damaged; the lines say what
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from ..arena.folder import FREE
from ..arena.index import Index
from ..arena.layout import Entry
from .arena_folder import arena_options, open_folder
from .arena_stats import arena_stats, show_stats
from .options import form_option
from .printing import as_json, moment, show_rows
from .sizes import size, size_text

ENTRY_COLUMNS = ("ref", "run", "codec", "size", "written")
SEGMENT_COLUMNS = ("segment", "state", "size", "entries", "held", "runs", "written")


@click.group("arena", short_help="Look after the arena of this host.")
def arena_command() -> None:
    """The arena: large values that the processes of this host share. None of this needs a server."""


@arena_command.command("stats")
@arena_options
@click.option("--arena-max", "max_bytes", callback=size, metavar="SIZE", help="The limit that its workers have, if they were given one.")
@form_option
def stats_command(arena: Path, max_bytes: int | None, form: str) -> None:
    """How full the arena is, and which runs hold most of it."""
    with open_folder(arena) as folder:
        found = arena_stats(folder, max_bytes)
    click.echo(as_json(found)) if form == "json" else show_stats(found)


@arena_command.command("ls")
@arena_options
@click.option("--run", metavar="RUN", help="Only what this run holds.")
@click.option("--segments", is_flag=True, help="Segments instead of entries.")
@form_option
def ls_command(arena: Path, run: str | None, segments: bool, form: str) -> None:
    """List the entries, each with the ref by which `jetfleet payload` finds it."""
    with open_folder(arena) as folder:
        index = Index(folder)
        if segments:
            index.refresh()
            show_rows(list(_segment_rows(index, run, form)), SEGMENT_COLUMNS, form, "no segments")
        else:
            found = ((name, entry) for name, entry in index.entries() if run in (None, entry.run))
            show_rows(list(_entry_rows(folder.host, found, form)), ENTRY_COLUMNS, form, "no entries")


def _entry_rows(host: str, entries: Iterable[tuple[str, Entry]], form: str) -> Iterator[dict[str, Any]]:
    for segment, entry in entries:
        ref = f"ref:{host}/{segment}/{entry.generation}/{entry.offset}"
        if form == "json":
            yield {"ref": ref, "run": entry.run, "codec": entry.codec, "bytes": entry.length, "written_at": entry.written_ms}
        else:
            size, written = size_text(entry.length), moment(entry.written_ms)
            yield {"ref": ref, "run": entry.run, "codec": entry.codec, "size": size, "written": written}


def _segment_rows(index: Index, run: str | None, form: str) -> Iterator[dict[str, Any]]:
    for name, summary in index.segments.items():
        if run is not None and run not in summary.runs:
            continue
        entries, held = sum(share.entries for share in summary.runs.values()), sum(share.bytes for share in summary.runs.values())
        yield _segment_row(name, "in use", summary.file.size_bytes, entries, held, len(summary.runs), summary.written_ms, form)
    for file in index.free if run is None else ():
        yield _segment_row(file.name, "spare" if file.state == FREE else "being made", file.size_bytes, 0, 0, 0, 0, form)


def _segment_row(name: str, state: str, bytes: int, entries: int, held: int, runs: int, written_ms: int, form: str) -> dict[str, Any]:
    if form == "json":
        return {"segment": name, "state": state, "bytes": bytes, "entries": entries, "held_bytes": held, "runs": runs,
                "written_at": written_ms or None}  # fmt: skip
    return {"segment": name, "state": state, "size": size_text(bytes), "entries": entries, "held": size_text(held), "runs": runs,
            "written": moment(written_ms)}  # fmt: skip
