"""A tape: what was recorded, as a file. A gzip of one msgpack array that begins with the tape's own format.

Fields are only ever appended, with a default: a tape outlives the code that wrote it.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec

FORMAT = 1
HERE = Path(__file__).parent


class Run(msgspec.Struct, array_like=True, frozen=True):
    """A journal with what came of it. `definition`: encoded, as it stands in FLOWS. `effects`, `states`: 8 bytes of SHA-256 after each record.

    `snapshots`: by the number of records that they have seen.
    """

    origin: str
    definition: bytes
    records: list[bytes]
    effects: list[bytes]
    states: list[bytes]
    snapshots: dict[int, bytes]
    status: str


class Runs(msgspec.Struct, array_like=True, frozen=True):
    format: int
    version: str
    runs: list[Run]


class Sent(msgspec.Struct, array_like=True, frozen=True):
    """A message as somebody published it."""

    subject: str
    headers: dict[str, str]
    data: bytes


class Wire(msgspec.Struct, array_like=True, frozen=True):
    format: int
    version: str
    messages: list[Sent]


def write(path: Path, tape: Runs | Wire) -> None:
    """Raises FileExistsError: what an older version has written is never written anew."""
    with path.open("xb") as file:
        file.write(gzip.compress(msgspec.msgpack.encode(tape), 9, mtime=0))


def read_runs(path: Path) -> Runs:
    return msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=Runs)


def read_wire(path: Path) -> Wire:
    return msgspec.msgpack.decode(gzip.decompress(path.read_bytes()), type=Wire)


def tapes(kind: str) -> list[Path]:
    """`runs` or `wire`, of all versions."""
    return sorted(HERE.glob(f"v*-{kind}.gz"))
