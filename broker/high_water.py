"""The high-water mark: how far each stream of truth was once seen, kept outside of the broker.

A server that lost the end of a stream (a power cut without fsync, a disk rolled back, a store deleted) does not say so: it goes on with
smaller sequence numbers. Whoever remembers the larger ones can tell. A file `high-water-….json` in the data directory, one per server
address, holds per stream when it was created, the highest sequence that was seen, and when the message with that sequence was stored: by
then publishers may have made the stream as long as it was.

`check` refuses to go on with such a stream; `accept` forgets what was lost, which is an operator's decision. A file that is missing or
cannot be read is a warning and a fresh start: it protects, it is not truth. Processes on one machine may share a data directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from ..schemas.errors import JetfleetError
from .client import Connection
from .client.stored import time_ns
from .topology import truth_streams

FOUND_SHOWN = 3
"""Streams that an error describes; the others are counted."""
SAVE_EVERY_S = 2.0

_log = structlog.get_logger(__name__)


class WalWentBack(JetfleetError):
    """A stream of truth ends before what was seen of it, or is another one than it was. `streams` names all of them."""

    code = "WAL_WENT_BACK"

    def __init__(self, streams: Iterable[str], findings: Iterable[str]) -> None:
        self.streams = tuple(streams)
        found = list(findings)
        more = f"; and {len(found) - FOUND_SHOWN} more streams" if len(found) > FOUND_SHOWN else ""
        super().__init__(
            f"the server has lost acknowledged messages: {'; '.join(found[:FOUND_SHOWN])}{more}. Nothing was started. "
            "Restore the server's store from a "
            "backup, or go on with what is left: `jetfleet doctor --accept-loss`"
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """`created`: as the server says it, RFC 3339. `seq`: the highest sequence that was seen; `at_ns`: when its message was stored, 0 if
    that is not known."""

    created: str
    seq: int
    at_ns: int = 0

    def merged(self, other: Mark) -> Mark:
        """The mark of the younger stream; the higher one if both are of the same."""
        if self.created == other.created:
            return max(self, other, key=lambda mark: (mark.seq, mark.at_ns))
        return max(self, other, key=lambda mark: datetime.fromisoformat(mark.created))


class HighWater:
    """The marks of one data directory. `note` is cheap; what was noted is on disk after SAVE_EVERY_S at the latest, and after `stop`."""

    def __init__(self, data_dir: Path, server: str = "") -> None:
        self._file = data_dir / file_name(server)
        self._marks = _read(self._file)
        self._unsaved = False
        self._saving: asyncio.Task[None] | None = None
        self._writing = threading.Lock()  # two threads may be about to, and have one file beside the file

    async def check(self, connection: Connection, partitions: int) -> None:
        """Compare all streams of truth with their marks, and mark where they are now. Raises WalWentBack, BrokerError."""
        lost: dict[str, str] = {}
        now: dict[str, Mark] = {}
        for stream in truth_streams(partitions):
            mark = self._marks.get(stream)
            info = await connection.streams.stream_info(stream)
            finding = _compare(stream, mark, info) or await _overwritten(connection, stream, mark)
            if finding:
                lost[stream] = finding
            elif info is not None:
                now[stream] = Mark(info["created"], info["state"]["last_seq"], time_ns(info["state"]["last_ts"]))
        if lost:
            raise WalWentBack(lost, lost.values())
        for stream, mark in now.items():
            self._marks[stream] = mark.merged(self._marks[stream]) if stream in self._marks else mark
        self._unsaved = True
        await asyncio.to_thread(self.save)

    async def accept(self, connection: Connection, partitions: int) -> list[str]:
        """Take the streams as they are. What was found wrong with them, for the operator to read."""
        try:
            await self.check(connection, partitions)
        except WalWentBack as error:
            for stream in error.streams:
                self._marks.pop(stream, None)
            self._file.unlink(missing_ok=True)
            await self.check(connection, partitions)
            return list(error.streams)
        return []

    def note(self, stream: str, seq: int, at_ns: int = 0) -> None:
        """The stream has reached this sequence, whose message was stored then. A stream that was never checked is not noted."""
        mark = self._marks.get(stream)
        if mark is not None and seq > mark.seq:
            self._marks[stream] = Mark(mark.created, seq, at_ns)  # a new one: the old one may be being written, or compared
            self._unsaved = True

    def seen(self, stream: str) -> int | None:
        """The highest sequence of the stream that was seen."""
        mark = self._marks.get(stream)
        return None if mark is None else mark.seq

    async def start(self) -> None:
        """Save what is noted from now on, every SAVE_EVERY_S."""
        self._saving = asyncio.create_task(self._save_often(), name="high-water")

    async def stop(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._saving
            self._saving = None
        await asyncio.to_thread(self.save)

    def save(self) -> None:
        """Write the file, whole or not at all. A disk that refuses is logged: the fleet runs on without this protection."""
        with self._writing:
            if not self._unsaved:
                return
            self._unsaved = False
            marks = dict(self._marks)
            for stream, other in _read(self._file).items():
                marks[stream] = other.merged(marks[stream]) if stream in marks else other
            try:
                _write(self._file, marks)
            except OSError as error:
                self._unsaved = True
                _log.warning("high-water mark not saved", file=str(self._file), error=error.strerror)

    async def _save_often(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await asyncio.to_thread(self.save)


def file_name(server: str) -> str:
    """One file per server: who works with several from one folder must not take one for the other."""
    return f"high-water-{hashlib.sha256(server.encode()).hexdigest()[:8]}.json" if server else "high-water.json"


async def _overwritten(connection: Connection, stream: str, mark: Mark | None) -> str:
    """What is to be said if the sequence that was seen last has another message now. Nothing, if it is not there any more."""
    stored = await connection.streams.get(stream, mark.seq) if mark is not None and mark.seq and mark.at_ns else None
    if stored is None or mark is None or stored.time_ns == mark.at_ns:
        return ""
    return f"stream {stream} has another message at sequence {mark.seq} than the one that was seen there"


def _compare(stream: str, mark: Mark | None, info: dict[str, Any] | None) -> str | None:
    if mark is None:
        return None
    if info is None:
        return f"stream {stream} is gone, it was seen up to sequence {mark.seq}"
    last = info["state"]["last_seq"]
    if info["created"] != mark.created:
        return (
            f"stream {stream} was created anew at {info['created']} and ends at {last}, the one of {mark.created} was seen up to {mark.seq}"
        )
    if last < mark.seq:
        return f"stream {stream} ends at sequence {last}, it was seen up to {mark.seq}"
    return None


def _read(file: Path) -> dict[str, Mark]:
    try:
        found = json.loads(file.read_bytes())
        return {str(stream): _mark(entry) for stream, entry in found["streams"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        _log.warning("high-water mark unreadable: starting a new one", file=str(file), error=str(error))
        return {}


def _mark(entry: dict[str, Any]) -> Mark:
    if datetime.fromisoformat(entry["created"]).tzinfo is None:
        raise ValueError(f"{entry['created']!r} is without a zone, and no server says a time so")
    return Mark(entry["created"], int(entry["seq"]), int(entry.get("at_ns", 0)))


def _write(file: Path, marks: dict[str, Mark]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    text = json.dumps({"streams": {stream: asdict(mark) for stream, mark in sorted(marks.items())}}, indent=1)
    with beside.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    beside.replace(file)
