"""Writing a `.jetrun` file. It appears under its name when it is whole, and not before."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ...schemas import messages
from ...schemas.chain import chain
from ...schemas.codec import decode_record
from ...schemas.messages import Definition, Summary
from ...schemas.records import RunStarted
from .manifest import (
    FORMAT,
    MANIFEST,
    VERSION,
    FlowPart,
    LostPart,
    Manifest,
    PayloadPart,
    Place,
    RunPart,
    flow_file,
    journal_file,
    payload_file,
)


@dataclass(slots=True)
class JetrunWriter:
    """Makes a file, which is there once `finish` has returned."""

    path: Path
    flows: dict[str, FlowPart] = field(default_factory=dict)
    runs: list[RunPart] = field(default_factory=list)
    payloads: list[PayloadPart] = field(default_factory=list)
    lost: list[LostPart] = field(default_factory=list)
    _written: set[str] = field(default_factory=set)
    _zip: zipfile.ZipFile = field(init=False)

    def __post_init__(self) -> None:
        self._zip = zipfile.ZipFile(self._partial, "w", zipfile.ZIP_DEFLATED)

    @property
    def _partial(self) -> Path:
        return self.path.with_name(self.path.name + ".partial")

    def add_run(self, definition: Definition, records: Sequence[bytes], status: str, summary: Summary | None) -> None:
        """A run by its encoded records."""
        started = decode_record(records[0])
        assert isinstance(started, RunStarted)
        if definition.digest not in self.flows:
            self.flows[definition.digest] = FlowPart(definition.name, definition.version, definition.digest, definition.types)
            self._zip.writestr(flow_file(definition.digest), definition.source)
        self._zip.writestr(journal_file(len(self.runs)), messages.join(records))
        parent = None if started.parent is None else started.parent[0]
        ended = "" if summary is None else messages.encode(summary).hex()
        self.runs.append(RunPart(started.run, definition.digest, len(records), chain(started.run, records).hex(), status, parent, ended))

    def add_payload(self, place: Place, body: bytes | memoryview) -> None:
        digest = hashlib.sha256(body).hexdigest()
        if digest not in self._written:
            self._written.add(digest)
            self._zip.writestr(payload_file(digest), bytes(body))
        self.payloads.append(PayloadPart(place, digest, len(body)))

    def finish(self, now_ms: int) -> Manifest:
        """Write the manifest, and put the file into its place."""
        manifest = Manifest(FORMAT, VERSION, now_ms, list(self.flows.values()), self.runs, self.payloads, self.lost)
        self._zip.writestr(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        self._zip.close()
        self._partial.replace(self.path)
        return manifest

    def drop(self) -> None:
        """Leave nothing behind."""
        self._zip.close()
        self._partial.unlink(missing_ok=True)
