"""Reopening: a run that had ended, or never was here, goes on from what is kept of its journal.

    RunReopened ──▶ open, or opened before at this place? ──yes──▶ ignored
                          │no
                          ▼
          journal from HISTORY, plan, fold  (holds up this partition and no other)  ──not to be had──▶ a dead letter
                          │
                          ▼
          an open run whose journal goes on behind these records; what it waits for is given out

Guarantees: the record names where its journal is, so nobody's index is needed, and whoever takes the partition over comes to the same run.
It opens a run once: the end of a life is remembered under the run and the place at which that life began (`life_of`), beside the run's
own id, by which a start event that comes again still starts nothing.
Does not: bring back payloads. What an ended run had in an arena may have been freed: it is made again like any lost one, or fails the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import structlog

from ...schemas import messages, subjects
from ...schemas.chain import chain
from ...schemas.codec import decode_record
from ...schemas.errors import JetfleetError, UnreadableRecord
from ...schemas.messages import Part
from ...schemas.plan.plan import Plan
from ...schemas.records import RunReopened, RunStarted
from ..client import BrokerError, Connection
from ..engine import Run, reopen
from ..flows import Flows
from .acknowledged import Ticket
from .ended_runs import life_of
from .open_run import OpenRun

if TYPE_CHECKING:
    from ...schemas.effects import Effect
    from .partition import Partition

AGAIN_S = 1.0
FOLDED_AT_ONCE = 1_000
"""Records that are folded in the event loop; for more of them a thread does it, or heartbeats would wait."""

log = structlog.get_logger("jetfleet.coordinator")


@dataclass(frozen=True, slots=True)
class Reopened:
    """A run as it goes on, what it waits for, and what its owner keeps beside it."""

    run: Run
    effects: list[Effect]
    trace: str
    chain: bytes


Then = Callable[[Reopened | str], None]
"""Called with the run, or with the reason why there is none."""


def is_new(home: Partition, record: RunReopened) -> bool:
    """Whether the run is to be opened: it is not open, and was not opened at this place of its journal before."""
    return record.run not in home.runs and life_of(record.run, record.after) not in home.ended


def open_again(home: Partition, record: RunReopened, raw: msgspec.Raw, found: Reopened, seq: int, ticket: Ticket) -> None:
    """Let the run go on in its partition."""
    id, plan = record.run, found.run.plan
    home.around.run_begun(plan.name, id)
    run = home.runs[id] = OpenRun.begun(found.run, seq, found.trace)
    run.archived, run.chain, run.reopened = record.after, found.chain, record.after
    run.segment = _segment_of_its_last_life(home, id)
    home.changed.add(id)
    run.remember(raw, seq)
    home.open_by_flow[plan.name] += 1
    home.families.begun(id)
    home.recent.forget(id)
    home.carry_out(run, found.effects, seq, ticket)
    home.take_early(run, seq, ticket)


def _segment_of_its_last_life(home: Partition, id: str) -> int:
    """Where the latest snapshot still has the run. It is not gone any more: a mark in a later segment would hide what it is now."""
    for place, (gone, segment) in enumerate(home.gone):
        if gone == id:
            del home.gone[place]
            return segment
    return 0


async def prepare(connection: Connection, flows: Flows, record: RunReopened, still: Callable[[], bool], then: Then) -> None:
    """Fetch and fold, trying again while the server is away, as long as `still` says that the partition is ours."""
    while still():
        try:
            found: Reopened | str = await _prepared(connection, flows, record)
        except BrokerError as error:
            log.warning("a run cannot be reopened yet", run=record.run, reason=str(error))
            await asyncio.sleep(AGAIN_S)
            continue
        except JetfleetError as error:
            found = str(error)
        except Exception as error:  # a defect must not close the partition to all the others
            log.error("a run cannot be reopened: a defect of jetfleet", run=record.run, exc_info=error)
            found = f"a defect of jetfleet: {type(error).__name__}: {error}"
        if isinstance(found, str):
            log.error("a run cannot be reopened", run=record.run, reason=found)
        then(found)
        return


async def _prepared(connection: Connection, flows: Flows, record: RunReopened) -> Reopened:
    encoded = await journal_at(connection, record)
    first = decode_record(encoded[0])
    if not isinstance(first, RunStarted) or first.run != record.run:
        raise UnreadableRecord(f"the journal of run {record.run} does not begin with its start")
    plan = await flows.fetch(first.digest)
    if len(encoded) > FOLDED_AT_ONCE:
        return await asyncio.to_thread(_folded, plan, encoded, record, first.trace)
    return _folded(plan, encoded, record, first.trace)


def _folded(plan: Plan, encoded: list[bytes], record: RunReopened, trace: str) -> Reopened:
    run, effects = reopen(plan, [decode_record(each) for each in encoded], record)
    return Reopened(run, effects, trace, chain(record.run, encoded))


async def journal_at(connection: Connection, record: RunReopened) -> list[bytes]:
    """The first `after` records of the run, encoded, from the places that the record names. Raises UnreadableRecord, BrokerError."""
    records: list[bytes] = []
    batches: dict[int, list[msgspec.Raw]] = {}
    for seq, index, first in sorted(record.places, key=lambda place: place[2]):
        if seq not in batches:
            stored = await connection.streams.get(subjects.HISTORY, seq)
            batches[seq] = [] if stored is None else messages.split(stored.data)
        part = _part(record.run, batches[seq], index, first)
        if part is None or part.first > len(records):
            break
        records += [bytes(raw) for raw in part.records[len(records) - part.first :]]
    if not 0 < record.after <= len(records):
        raise UnreadableRecord(f"of the {record.after} records that run {record.run} is to go on behind, the history has {len(records)}")
    return records[: record.after]


def _part(run: str, batch: list[msgspec.Raw], index: int, first: int) -> Part | None:
    """The part that is meant; None if it is gone."""
    if not 0 <= index < len(batch):
        return None
    part = messages.decode(Part, bytes(batch[index]))
    return part if (part.run, part.first) == (run, first) else None
