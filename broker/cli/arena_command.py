"""`jetfleet arena …`: what lies in the arena of this host, whether it is whole, and freeing what nobody needs any more.

0    done, all is whole        1    something in the arena is damaged; the lines say what
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.sizes import size_text
from ..arena.check import check
from ..arena.index import Index
from ..arena.layout import Entry
from ..credentials import Credentials
from ..loop import run
from .arena_collection import free
from .arena_folder import arena_options, open_folder
from .arena_segments import segment_rows
from .arena_stats import arena_stats, show_stats
from .options import credentials_option, form_option
from .printing import as_json, moment, note, printable, show_rows
from .sizes import size

ENTRY_COLUMNS = ("ref", "run", "codec", "size", "written")
SEGMENT_COLUMNS = ("segment", "state", "size", "entries", "held", "pinned by", "open in", "written")


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
@click.option("--run", "held_by", metavar="RUN", help="Only what this run holds.")
@click.option("--segments", is_flag=True, help="Segments instead of entries.")
@form_option
def ls_command(arena: Path, held_by: str | None, segments: bool, form: str) -> None:
    """List the entries, each with the ref by which `jetfleet payload` finds it; or the segments, and what keeps them from being freed."""
    with open_folder(arena) as folder:
        index = Index(folder)
        if segments:
            index.refresh()
            show_rows(list(segment_rows(index, held_by, form)), SEGMENT_COLUMNS, form, "no segments")
        else:
            found = ((name, entry) for name, entry in index.entries() if held_by in (None, entry.run))
            show_rows(list(_entry_rows(folder.host, found, form)), ENTRY_COLUMNS, form, "no entries")


@arena_command.command("verify")
@arena_options
@form_option
@click.pass_context
def verify_command(context: click.Context, arena: Path, form: str) -> None:
    """Read every entry and compare its checksum. It may run beside workers, and changes nothing."""
    with open_folder(arena) as folder:
        checked = check(folder)
    if form == "json":
        for finding in checked.findings:
            click.echo(as_json(asdict(finding)))
    else:
        for finding in checked.findings:
            where = finding.segment + ("" if finding.offset is None else f" at {finding.offset}")
            whose = f" (run {finding.run})" if finding.run else ""
            click.echo(printable(f"{where}{whose}: {finding.problem}"))
    wrong = f"{len(checked.findings):,} wrong" if checked.findings else "all right"
    note(f"{checked.entries:,} entries with {size_text(checked.bytes)} in {checked.segments:,} segments: {wrong}")
    context.exit(FAILED if checked.findings else 0)


@arena_command.command("gc")
@arena_options
@click.option("--nats", "url", metavar="URL", envvar="JETFLEET_NATS", help="The fleet's server, which knows the runs that are over.")
@credentials_option
@form_option
def gc_command(arena: Path, url: str | None, credentials: Credentials | None, form: str) -> None:
    """Free now what nobody needs any more, instead of a while after a run's end; what processes left behind that died, too."""
    with open_folder(arena):
        pass  # it is there, and may be trusted: the keeper would make one
    swept = run(free(arena, url, credentials))
    if form == "json":
        click.echo(as_json(asdict(swept)))
        return
    click.echo(f"freed: {swept.freed:,} segments with {size_text(swept.freed_bytes)}")
    click.echo(f"given back: {swept.removed:,} segments with {size_text(swept.removed_bytes)}, {swept.files:,} folders of files")
    click.echo(f"kept: {swept.needed:,} that runs need, {swept.busy:,} that somebody reads or writes")


def _entry_rows(host: str, entries: Iterable[tuple[str, Entry]], form: str) -> Iterator[dict[str, Any]]:
    for segment, entry in entries:
        ref = f"ref:{host}/{segment}/{entry.generation}/{entry.offset}"
        if form == "json":
            yield {"ref": ref, "run": entry.run, "codec": entry.codec, "bytes": entry.length, "written_at": entry.written_ms}
        else:
            size, written = size_text(entry.length), moment(entry.written_ms)
            yield {"ref": ref, "run": entry.run, "codec": entry.codec, "size": size, "written": written}
