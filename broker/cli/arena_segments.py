"""The segments of an arena as rows to print, each with what keeps it from being freed: runs with entries in it, processes that are in it.

Looks from outside and takes no lock: what it says was true a moment ago.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...schemas.sizes import size_text
from ..arena.folder import FREE, SegmentFile
from ..arena.index import Index, SegmentSummary
from ..arena.locks import holders
from .printing import moment


def segment_rows(index: Index, run: str | None, form: str) -> Iterator[dict[str, Any]]:
    """`run`: only those that it pins."""
    locked = holders()
    row = _as_json if form == "json" else _for_people
    for summary in index.segments.values():
        if run is None or run in summary.runs:
            yield row(summary, "in use", locked.get(summary.file.inode, []))
    for file in index.free if run is None else ():
        yield row(SegmentSummary(file), _state(file), locked.get(file.inode, []))


def _state(file: SegmentFile) -> str:
    return "spare" if file.state == FREE else "being made"


def _as_json(summary: SegmentSummary, state: str, pids: list[int]) -> dict[str, Any]:
    pins = [{"run": run, "entries": share.entries, "bytes": share.bytes} for run, share in _largest_first(summary)]
    return {"segment": summary.file.name, "state": state, "bytes": summary.file.size_bytes, "entries": summary.entries,
            "held_bytes": _held(summary), "runs": len(pins), "pinned_by": pins, "pids": pids,
            "written_at": summary.written_ms or None}  # fmt: skip


def _for_people(summary: SegmentSummary, state: str, pids: list[int]) -> dict[str, Any]:
    return {"segment": summary.file.name, "state": state, "size": size_text(summary.file.size_bytes), "entries": summary.entries,
            "held": size_text(_held(summary)), "pinned by": _pinned(summary), "open in": ", ".join(map(str, pids)),
            "written": moment(summary.written_ms)}  # fmt: skip


def _largest_first(summary: SegmentSummary) -> list[tuple[str, Any]]:
    return sorted(summary.runs.items(), key=lambda pin: -pin[1].bytes)


def _held(summary: SegmentSummary) -> int:
    return sum(share.bytes for share in summary.runs.values())


def _pinned(summary: SegmentSummary) -> str:
    runs = [run or "(no run)" for run, _ in _largest_first(summary)]
    return "".join(runs[:1]) + (f" and {len(runs) - 1:,} more" if len(runs) > 1 else "")
