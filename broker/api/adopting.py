"""Adopting: a journal in hand becomes an open run of this fleet: the end of a fork, and of an import.

    journal in hand ──parts──▶ HISTORY ──acknowledged──▶ RunReopened ──▶ WAL of the run's partition

Guarantees: nothing is told to the owner before every record is on disk; when `adopt` returns, the run goes on whatever dies. Doing it
twice with the same journal is doing it once: a run that is open, or was opened at this place of its journal lately, stays as it is.
Does not: look whether the plan is deployed, or whether the journal makes sense. Whoever calls this has folded it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from ...schemas import chain, messages, subjects
from ...schemas.codec import encode_batch, encode_record
from ...schemas.limits import MESSAGE_MAX_BYTES
from ...schemas.messages import Part
from ...schemas.records import Record, RunReopened
from ..client import Connection

PART_BYTES = 512 * 1024
"""Of records in one part; a record that is larger has a part of its own."""
ENVELOPE_BYTES = 64 * 1024

Place = tuple[int, int, int]
"""Sequence in HISTORY, entry of that message, first record: as in `RunReopened.places`."""


async def adopt(
    connection: Connection,
    partitions: int,
    flow: str,
    run: str,
    records: Sequence[Record],
    *,
    dropped: Sequence[int] = (),
    source: str = "",
    reason: str = "",
) -> RunReopened:
    """Make an open run out of a journal: `records` are all of this run's id, and `dropped` are the numbers of those that do not count.

    `flow`: under whose history they are kept. `source`: the run that it came of. Raises BrokerError; nothing is open then.
    """
    places = await write_history(connection, flow, run, records)
    return await reopen(connection, partitions, run, len(records), dropped, places, source, reason)


async def write_history(connection: Connection, flow: str, run: str, records: Sequence[Record]) -> list[Place]:
    """Put a journal into HISTORY, in parts, one message each. Where they are. Raises BrokerError."""
    places: list[Place] = []
    for first, part in parts_of(run, [encode_record(record) for record in records], _room(connection)):
        ack = await connection.publisher.publish(subjects.history(flow), messages.join([part]))
        places.append((ack.seq, 0, first))
    return places


async def reopen(
    connection: Connection,
    partitions: int,
    run: str,
    after: int,
    dropped: Sequence[int],
    places: Sequence[Place],
    source: str = "",
    reason: str = "",
) -> RunReopened:
    """Tell the owner of the run's partition that it goes on. The record that was written. Raises BrokerError."""
    record = RunReopened(run, time.time_ns() // 1_000_000, after, tuple(dropped), tuple(places), source, reason)
    await connection.publisher.publish(subjects.wal(subjects.partition_of(run, partitions)), encode_batch([record]))
    return record


def parts_of(run: str, records: Sequence[bytes], room_bytes: int = PART_BYTES) -> Iterator[tuple[int, bytes]]:
    """Encoded records as encoded `messages.Part`s, each with the number of its first one; none is larger than `room_bytes` for several."""
    start, size, value = 0, 0, chain.start(run)
    for place, record in enumerate(records):
        if place > start and size + len(record) > room_bytes:
            value = chain.extended(value, records[start:place])
            yield start, _part(run, start, records[start:place], value)
            start, size = place, 0
        size += len(record)
    yield start, _part(run, start, records[start:], chain.extended(value, records[start:]))


def _part(run: str, first: int, records: Sequence[bytes], chained: bytes) -> bytes:
    return messages.encode(Part(run, first, [msgspec.Raw(record) for record in records], chain=chained))


def _room(connection: Connection) -> int:
    return min(PART_BYTES, MESSAGE_MAX_BYTES - ENVELOPE_BYTES, connection.max_payload - ENVELOPE_BYTES)
