"""The hash chain of a journal: 32 bytes that stand for a run's first n records, all of them, in this order.

    value before record 0    SHA-256(id of the run)
    value after record n     SHA-256(value before it ‖ record n as it stands in the WAL)

Guarantees: the value depends on the records alone, not on the parts that they are archived in, so two owners that archive the same records
come to the same one. A record that was changed, added, left out or moved changes every value from there on.
Does not: prove who wrote it. Whoever can write to HISTORY can compute a chain; keep the last value elsewhere to be sure against them.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

import msgspec

UNKNOWN = b""
"""In the place of a value: the journal, or its beginning, was written before there were chains."""


def start(run: str) -> bytes:
    """The value before the first record."""
    return sha256(run.encode()).digest()


def extended(value: bytes, records: Iterable[bytes | msgspec.Raw]) -> bytes:
    """The value after these encoded records more; UNKNOWN goes on being UNKNOWN."""
    if value == UNKNOWN:
        return UNKNOWN
    for record in records:
        link = sha256(value)
        link.update(record)
        value = link.digest()
    return value


def chain(run: str, records: Iterable[bytes | msgspec.Raw]) -> bytes:
    """The value after a journal, or the beginning of one: its encoded records from the first on."""
    return extended(start(run), records)
