"""The `.jetrun` file: runs with everything that they need elsewhere. A zip of

    manifest.json             which runs, which payloads, and what could not be had
    flows/<digest>.json       the definition of each flow version
    runs/<n>/journal.msgpack  a journal: a batch of records, byte for byte as they stood in the WAL
    payloads/<sha256>         a value that lay elsewhere, as its codec wrote it

Guarantees: a file that can be read holds whole journals of the runs that it names, whose hash chains come out as the manifest says, and
payloads whose bytes have the digests that name them. Anything else is a DamagedFile that says what is wrong. Nothing is written where a
name in it says, other names than these are refused, and no more is unpacked than the limits of `reading` allow.
Does not: prove who made it. Do not let runs of strangers go on: their flows would do what is in them.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ...schemas.errors import JetfleetError

FORMAT, VERSION = "jetrun", 1
SUFFIX = ".jetrun"
MANIFEST = "manifest.json"

Place: TypeAlias = tuple[str | int, ...]
"""Where a value lay: the digest of an object, or host, segment, generation and offset of an arena's entry."""


class DamagedFile(JetfleetError):
    """A file that is no `.jetrun`, or not whole, or that somebody made to do harm. Nothing of it was used."""

    code = "DAMAGED_FILE"


class FlowPart(msgspec.Struct, frozen=True):
    """A flow version as it was deployed; its canonical JSON stands beside. `types`: ports of its own node types, None if nobody knew."""

    name: str
    version: str
    digest: str
    types: dict[str, tuple[str, ...]] | None = None


class RunPart(msgspec.Struct, frozen=True):
    """`flow` is a digest, `chain` the hex value after the last record. `summary`: hex of the encoded Summary; "" of a run that was open."""

    run: str
    flow: str
    records: int
    chain: str
    status: str
    parent: str | None = None
    summary: str = ""


class PayloadPart(msgspec.Struct, frozen=True):
    """A value that is in the file. `place`: where its refs say that it lies."""

    place: Place
    digest: str
    bytes: int


class LostPart(msgspec.Struct, frozen=True):
    """A value that could not be had, and why."""

    ref: str
    run: str
    reason: str


class Manifest(msgspec.Struct, frozen=True):
    """`exported_at` in ms since the epoch. The first run is the one that was asked for."""

    format: str
    version: int
    exported_at: int
    flows: list[FlowPart]
    runs: list[RunPart]
    payloads: list[PayloadPart] = []
    lost: list[LostPart] = []


def flow_file(digest: str) -> str:
    return f"flows/{digest}.json"


def journal_file(number: int) -> str:
    """Of the run with this number in the manifest."""
    return f"runs/{number}/journal.msgpack"


def payload_file(digest: str) -> str:
    return f"payloads/{digest}"
