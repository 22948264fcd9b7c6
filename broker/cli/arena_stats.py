"""Figures of an arena, gathered from outside: they were true a moment ago."""

from __future__ import annotations

import os
from typing import Any

import click

from ...schemas.sizes import size_text
from ..arena.folder import FREE, KEEPER_LOCK, Folder
from ..arena.index import Index
from ..arena.keeper_lock import KeeperLock
from ..arena.locks import share
from ..arena.settings import ArenaSettings, limits
from .printing import printable

TOP_RUNS = 5


def arena_stats(folder: Folder, max_bytes: int | None) -> dict[str, Any]:
    """`max_bytes`: the limit that its workers were given, None for the one that its keeper tells of or chooses itself. Sizes in bytes."""
    index = Index(folder)
    index.refresh()
    segments, spare = index.segments.values(), [file for file in index.free if file.state == FREE]
    shares = [share for summary in segments for share in summary.runs.values()]
    runs = sorted(index.runs().items(), key=lambda item: -item[1])
    limit = limits(ArenaSettings(folder=folder.path, max_bytes=max_bytes or KeeperLock.told_limit(folder)), folder.fd, index.total_bytes)
    return {
        "host": folder.host,
        "folder": str(folder.path),
        "limit_bytes": limit.max_bytes,
        "used_bytes": index.total_bytes,
        "segments": len(segments),
        "spare_segments": len(spare),
        "spare_bytes": sum(file.size_bytes for file in spare),
        "entries": sum(share.entries for share in shares),
        "held_bytes": sum(share.bytes for share in shares),
        "damaged": sum(summary.damaged for summary in segments),
        "runs": len(runs),
        "largest_runs": [{"run": run, "bytes": held} for run, held in runs[:TOP_RUNS]],
        "kept": is_kept(folder),
    }


def show_stats(found: dict[str, Any]) -> None:
    """Print them for people."""
    taken = found["used_bytes"] / max(found["limit_bytes"], 1)
    lines = {
        "host": found["host"],
        "folder": found["folder"],
        "used": f"{size_text(found['used_bytes'])} of {size_text(found['limit_bytes'])} ({taken:.0%})",
        "segments": f"{found['segments']:,} in use, {found['spare_segments']:,} spare ({size_text(found['spare_bytes'])})",
        "entries": f"{found['entries']:,} with {size_text(found['held_bytes'])}",
        "runs": f"{found['runs']:,}",
        "keeper": "a worker frees what has ended" if found["kept"] else "none: nothing is freed but by `jetfleet arena gc`",
    }
    if found["damaged"]:
        lines["damaged"] = f"{found['damaged']:,} headers cannot be read; see `jetfleet arena verify`"
    for name, says in lines.items():
        click.echo(f"{name:8}  {printable(says)}")
    for held in found["largest_runs"]:
        click.echo(f"{'':8}  {size_text(held['bytes']):>10}  {printable(held['run'] or '(no run)')}")


def is_kept(folder: Folder) -> bool:
    """Whether a process holds the keeper's lock: it frees what has ended."""
    fd = folder.open_file(KEEPER_LOCK)
    if fd is None:
        return False
    try:
        return not share(fd)
    finally:
        os.close(fd)
