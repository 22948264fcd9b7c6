"""Targets: files that outlive the process that wrote them, and may have met a bad disk, an old version or somebody's editor."""

from __future__ import annotations

import asyncio
import io
import mmap
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from jetfleet.broker.arena.layout import HEADER_BLOCK_BYTES, Entry, SegmentHeader, parse_entry, parse_segment
from jetfleet.broker.definitions import BrokenDefinition, define
from jetfleet.broker.high_water import HighWater, file_name
from jetfleet.broker.transfer.manifest import DamagedFile
from jetfleet.broker.transfer.reading import JetrunFile
from jetfleet.broker.transfer.writing import JetrunWriter
from jetfleet.schemas.flow.definition import Flow
from jetfleet.schemas.source.document import read
from jetfleet.workers.fleet import ledger

from ...engine.driving import Driver
from ...study.played import ORDER, encoded, summary
from .target import Target

_folder = TemporaryDirectory(prefix="fuzz-")
FOLDER = Path(_folder.name)
MARKS = b'{"streams": {"EVENTS": {"created": "2026-03-01T08:30:00Z", "seq": 40}, "WAL_0": {"created": "2026-03-01T08:30:00.5Z", "seq": 7}}}'


def _marks(data: bytes) -> None:
    """What is read is noted further and saved again beside what another process has saved meanwhile."""
    file = FOLDER / file_name("")
    file.write_bytes(data)
    marks = HighWater(FOLDER)
    file.write_bytes(MARKS)
    marks.note("WAL_0", 10**9)
    asyncio.run(marks.stop())


def _cells(data: bytes) -> None:
    """The ledger of a worker that died."""
    with mmap.mmap(-1, ledger.CELLS * ledger.CELL_BYTES) as map:
        map[: len(data)] = data[: len(map)]
        for _, left in ledger._read(map):
            assert left.reply.isprintable() and " " not in left.reply, "it would not be a subject"


def _cell(state: int, reply: bytes) -> bytes:
    return (bytes([state, len(reply)]) + reply).ljust(ledger.CELL_BYTES, b"\0")


@cache
def _jetruns() -> Sequence[bytes]:
    driver = Driver(ORDER, {"n": 3}, trigger="api").work()
    writer = JetrunWriter(FOLDER / "one.jetrun")
    writer.add_run(
        define(Flow.model_validate({"name": "f", **read(ORDER.encode()).value})), encoded(driver.journal), "completed", summary(driver)
    )
    writer.add_payload(("host", "w-1", 1, 64), b"a large value")
    writer.finish(1)
    return [(FOLDER / "one.jetrun").read_bytes()]


def _manifests() -> Sequence[bytes]:
    with zipfile.ZipFile(io.BytesIO(_jetruns()[0])) as opened:
        return [opened.read("manifest.json")]


def _jetrun(data: bytes) -> None:
    opened = JetrunFile(data)
    for part in opened.manifest.payloads:
        opened.payload(part)


def _with_manifest(data: bytes) -> None:
    """A whole file whose manifest somebody has written: its checksums and lengths are right, what it says is not."""
    into = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(_jetruns()[0])) as opened, zipfile.ZipFile(into, "w") as made:
        for name in opened.namelist():
            made.writestr(name, data if name == "manifest.json" else opened.read(name))
    _jetrun(into.getvalue())


def _segments() -> Sequence[bytes]:
    entry = Entry("orders-1", "bytes", 100, HEADER_BLOCK_BYTES + 128, 7, 3, 1_790_000_000_000, b"meta").packed()
    return [SegmentHeader(3, 1 << 20).packed().ljust(64, b"\0") + entry + bytes(100)]


def _segment(data: bytes) -> None:
    parse_segment(data)
    parse_entry(lambda offset, length: data[offset : offset + length], 64, 3, len(data))


TARGETS = (
    Target("high-water marks", _marks, lambda: [MARKS], ()),
    Target("ledger of a worker", _cells, lambda: [_cell(1, b"$JS.ACK.TASKS.queue-default.1.5.5.1790000000000000000.0") + _cell(2, b"$JS.ACK.hub.acc.TASKS.queue-default.1.5.5.17.0.tok")], ()),
    Target("segment of an arena", _segment, _segments, ()),
    Target("exported run", _jetrun, _jetruns, (DamagedFile, BrokenDefinition)),
    Target("manifest of an exported run", _with_manifest, _manifests, (DamagedFile, BrokenDefinition)),
)  # fmt: skip
