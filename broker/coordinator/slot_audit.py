"""Slot audit: whether those who hold the slots of a limit still need them, asked of the owners of their runs.

Slots are given back by the engine, whatever becomes of a run, and no message that says so can be lost. This is the second line, against
defects: only where somebody waits, about every AUDIT_S, and what is found is said aloud and mended.

Guarantees: a slot is taken from nobody who needs it: an owner answers when it has taken in all of its WAL, and one that does not answer
is asked again next time.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TypeAlias

import msgspec
import structlog

from ...schemas import records as rec
from ...schemas import subjects
from ...schemas.codec import encode_record
from ...schemas.errors import JetfleetError
from ...schemas.messages import FAILURES
from ..client import BrokerError, Connection
from ..engine.gate import WAITING, Holder
from .partition import Partition
from .surroundings import Surroundings

AUDIT_S = 30.0
BATCH = 1_000
ANSWER_S = 5.0
Claimed: TypeAlias = tuple[str, tuple[int | str, ...], int, str]
"""Run, activation, attempt, limit."""

_answers = msgspec.msgpack.Decoder(list[bool])
log = structlog.get_logger("jetfleet.coordinator")


async def keep_auditing(connection: Connection, partition: Partition, around: Surroundings, every_s: float = AUDIT_S) -> None:
    """Audit the gates of a partition as long as this is not cancelled."""
    while True:
        await asyncio.sleep(every_s)
        try:
            if around.holds(partition.number):
                await audit(connection, partition, around)
        except JetfleetError as error:
            log.warning("slots cannot be audited; it is tried again", partition=partition.number, code=error.code, reason=str(error))
        except Exception:
            log.exception("a defect of jetfleet: slots cannot be audited; it is tried again", partition=partition.number)


async def audit(connection: Connection, partition: Partition, around: Surroundings) -> int:
    """Ask once about all holders of limits at which somebody waits. Returns how many slots were released."""
    by_partition: defaultdict[int, list[Claimed]] = defaultdict(list)
    for gate in partition.gates:
        if gate.waiting:
            for holder, entry in gate.entries.items():
                if entry.state != WAITING:
                    by_partition[subjects.partition_of(holder.run, partition.partitions)].append((*holder, gate.id))
    released = 0
    for number, claimed in by_partition.items():
        for start in range(0, len(claimed), BATCH):
            released += await _ask(connection, partition, around, number, claimed[start : start + BATCH])
    return released


async def _ask(connection: Connection, partition: Partition, around: Surroundings, number: int, claimed: list[Claimed]) -> int:
    try:
        reply = await connection.request(subjects.slots(number), msgspec.msgpack.encode(claimed), timeout_s=ANSWER_S)
        needed = _answers.decode(reply.data)
    except (BrokerError, *FAILURES) as error:
        log.debug("nobody says who needs its slots", partition=number, reason=str(error))
        return 0
    if len(needed) != len(claimed) or not around.holds(partition.number):
        return 0
    stale = [claim for claim, is_needed in zip(claimed, needed, strict=True) if not is_needed and _stands(partition, claim)]
    for run, activation, attempt, limit in stale:
        log.warning("a slot was held by nobody and is released", limit=limit, run=run, attempt=attempt, partition=partition.number)
        released = rec.SlotReleased(limit, partition.now_ms, run, activation, attempt)
        partition.outbox.wal(partition.number, encode_record(released))
    return len(stale)


def _stands(partition: Partition, claim: Claimed) -> bool:
    """Whether the entry is still there: most of what an owner does not know any more was given back while it was asked."""
    run, activation, attempt, limit = claim
    gate = partition.gates.get(limit)
    return gate is not None and Holder(run, activation, attempt) in gate.entries
