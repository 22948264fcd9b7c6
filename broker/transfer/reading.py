"""Reading a `.jetrun` file, which may come from anybody: nothing in it is trusted before it was checked."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ...schemas import messages
from ...schemas.chain import chain
from ...schemas.codec import decode_record
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Definition, Summary
from ...schemas.plan.plan import Plan
from ...schemas.records import Record, RunStarted
from ..definitions import compile_definition
from .manifest import (
    FORMAT,
    MANIFEST,
    VERSION,
    DamagedFile,
    FlowPart,
    Manifest,
    PayloadPart,
    RunPart,
    flow_file,
    journal_file,
    payload_file,
)

TOTAL_MAX_BYTES = 4 << 30
JOURNAL_MAX_BYTES = 1 << 30
DOCUMENT_MAX_BYTES = 16 << 20
"""Of the manifest, and of a definition."""
FILES_MAX = 100_000
_NAME = re.compile(r"manifest\.json|flows/[0-9a-f]{64}\.json|runs/[0-9]{1,6}/journal\.msgpack|payloads/[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class CarriedRun:
    """A run in a file. `encoded` are its records as they stood in the WAL, `records` the same decoded."""

    part: RunPart
    plan: Plan
    definition: Definition
    encoded: Sequence[bytes]
    records: Sequence[Record]

    @property
    def summary(self) -> Summary | None:
        return messages.decode(Summary, bytes.fromhex(self.part.summary)) if self.part.summary else None


class JetrunFile:
    """A file that is read. Its manifest and journals are checked when it is opened, a payload when it is asked for.

    Raises DamagedFile, and BrokenDefinition if a flow of it does not compile here to what it was.
    """

    def __init__(self, data: bytes | Path) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data) if isinstance(data, bytes) else data)
            self._sizes = _checked_names(self._zip.infolist())
            self.manifest = _manifest(self._read(MANIFEST, DOCUMENT_MAX_BYTES))
            plans = {part.digest: self._plan(part) for part in self.manifest.flows}
            self.runs = [self._run(number, part, plans) for number, part in enumerate(self.manifest.runs)]
            _none_beside(self._sizes, self.manifest)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
            raise DamagedFile(f"this is no .jetrun file: {error}") from None

    def payload(self, part: PayloadPart) -> bytes:
        """The bytes of a value."""
        body = self._read(payload_file(part.digest), part.bytes)
        if hashlib.sha256(body).hexdigest() != part.digest:
            raise DamagedFile(f"payload {part.digest[:12]} does not have the bytes that its name says")
        return body

    def close(self) -> None:
        self._zip.close()

    def _read(self, name: str, most: int) -> bytes:
        size = self._sizes.get(name)
        if size is None:
            raise DamagedFile(f"{name} is missing")
        if size > most:
            raise DamagedFile(f"{name} has {size:,} bytes, and {most:,} are allowed")
        try:
            with self._zip.open(name) as file:
                data = file.read(size + 1)
        except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError, OSError, ValueError) as error:
            raise DamagedFile(f"{name} cannot be unpacked: {error}") from None
        except Exception as error:  # zlib.error and its kin have no root of their own
            raise DamagedFile(f"{name} cannot be unpacked: {type(error).__name__}: {error}") from None
        if len(data) != size:
            raise DamagedFile(f"{name} has another length than the file says")
        return data

    def _plan(self, part: FlowPart) -> tuple[Definition, Plan]:
        definition = Definition(part.name, part.version, part.digest, self._read(flow_file(part.digest), DOCUMENT_MAX_BYTES), part.types)
        return definition, compile_definition(definition)

    def _run(self, number: int, part: RunPart, plans: dict[str, tuple[Definition, Plan]]) -> CarriedRun:
        if part.flow not in plans:
            raise DamagedFile(f"the flow of run {part.run!r} is missing")
        definition, plan = plans[part.flow]
        encoded = _entries(self._read(journal_file(number), JOURNAL_MAX_BYTES), part.run)
        if len(encoded) != part.records:
            raise DamagedFile(f"the journal of run {part.run} has {len(encoded)} records, and the manifest says {part.records}")
        if chain(part.run, encoded).hex() != part.chain:
            raise DamagedFile(f"the journal of run {part.run} is not what was exported: its hash chain does not hold")
        carried = CarriedRun(part, plan, definition, encoded, _decoded(encoded, part.run))
        try:
            summary = carried.summary
        except (UnreadableRecord, ValueError) as error:
            raise DamagedFile(f"the summary of run {part.run} cannot be read: {error}") from None
        if summary is not None and summary.records != len(encoded):
            raise DamagedFile(f"the summary of run {part.run} counts {summary.records} records, and there are {len(encoded)}")
        return carried


def _checked_names(found: Iterable[zipfile.ZipInfo]) -> dict[str, int]:
    """The declared sizes by name. Raises DamagedFile for what no export writes."""
    sizes: dict[str, int] = {}
    for info in found:
        if not _NAME.fullmatch(info.filename) or info.filename in sizes:
            raise DamagedFile(f"{info.filename[:200]!r} has no place in a .jetrun file, or stands in it twice")
        if info.flag_bits & 1:
            raise DamagedFile(f"{info.filename} is encrypted")
        sizes[info.filename] = info.file_size
    if len(sizes) > FILES_MAX or sum(sizes.values()) > TOTAL_MAX_BYTES:
        most = f"{TOTAL_MAX_BYTES:,} bytes in {FILES_MAX:,} files are allowed"
        raise DamagedFile(f"it would unpack to {sum(sizes.values()):,} bytes in {len(sizes):,} files, and {most}")
    return sizes


def _none_beside(names: Iterable[str], manifest: Manifest) -> None:
    """Raises DamagedFile if there is something that the manifest does not speak of: nobody would check it."""
    spoken_of = {MANIFEST, *(flow_file(part.digest) for part in manifest.flows), *map(journal_file, range(len(manifest.runs)))}
    beside = sorted(set(names) - spoken_of - {payload_file(part.digest) for part in manifest.payloads})
    if beside:
        raise DamagedFile(f"{beside[0]} is not in the manifest")


def _manifest(data: bytes) -> Manifest:
    try:
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DamagedFile(f"{MANIFEST} cannot be read: {error}") from None
    if manifest.format != FORMAT or manifest.version != VERSION:
        raise DamagedFile(f"it has the format {manifest.format!r} {manifest.version}, and this version reads {FORMAT!r} {VERSION}")
    if not manifest.runs:
        raise DamagedFile("there is no run in it")
    return manifest


def _entries(data: bytes, run: str) -> list[bytes]:
    try:
        return [bytes(entry) for entry in messages.split(data)]
    except UnreadableRecord as error:
        raise DamagedFile(f"the journal of run {run} cannot be read: {error}") from None


def _decoded(encoded: Sequence[bytes], run: str) -> list[Record]:
    records: list[Record] = []
    for number, entry in enumerate(encoded):
        try:
            records.append(decode_record(entry))
        except UnreadableRecord as error:
            raise DamagedFile(f"record {number} of run {run} cannot be read: {error}") from None
        if records[-1].run != run:
            raise DamagedFile(f"record {number} of run {run} is one of run {records[-1].run!r}")
    if not records or not isinstance(records[0], RunStarted):
        raise DamagedFile(f"the journal of run {run} does not begin with RunStarted")
    return records
