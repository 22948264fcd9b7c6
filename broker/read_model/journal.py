"""The journal: every record of a run, in order, put together from where they are.

    HISTORY     the parts that were archived, found by the read model's index
    the owner   what an open run has taken in since then

Parts may overlap (an owner that takes over archives again what it is not sure of); record n is the same in all of them. The owner is asked
first: what it archives after that is in HISTORY, if not in the index yet, which is why the index is asked again for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ...schemas import messages, subjects
from ...schemas.codec import decode_record
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import FAILURES, Ended, Part, RunView
from ...schemas.records import Record
from ..client import BrokerError, Connection
from . import questions
from .errors import JournalGap
from .views import PartPlace, RunFound

OWNER_ANSWERS_S = 2.0
PATIENCE_S, AGAIN_S = 3.0, 0.05


@dataclass(frozen=True, slots=True)
class Journal:
    """`records` are encoded. `found` is the run as the index has it, `view` as its owner sees it; one of them may be None."""

    run: str
    records: list[bytes]
    found: RunFound | None
    view: RunView | None

    def decoded(self) -> list[Record]:
        """Raises UnreadableRecord for one of a newer version."""
        return [decode_record(record) for record in self.records]


async def journal(connection: Connection, run: str, partitions: int, *, patience_s: float = PATIENCE_S) -> Journal | None:
    """The whole journal of a run; None if nobody knows the run. `patience_s`: how long an index that is behind is waited for.

    An open run whose owner does not answer for so long either is what was archived of it. Raises ReaderAbsent (where an index is needed),
    JournalGap, BrokerError.
    """
    view = await ask_owner(connection, run, partitions)
    if isinstance(view, RunView) and not view.archived:
        return Journal(run, [bytes(record) for record in view.tail], None, view)
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        found = await questions.run(connection, run)
        if view is None and found is not None and found.row.ended_at is None:
            view = await ask_owner(
                connection, run, partitions
            )  # its partition may be changing hands; without it the last records are missing
        is_late = asyncio.get_running_loop().time() > deadline
        records = [] if found is None else await archived(connection, run, found.parts)
        whole = _with_tail(records, found, view, is_late)
        if whole is not None:
            return Journal(run, whole, found, view if isinstance(view, RunView) else None)
        if found is None and view is None:
            return None
        if is_late:
            raise JournalGap(
                f"the journal of run {run} is not complete: {len(records)} records were found in the history, and more are known of; "
                "does nobody own it right now, is the reader behind, or was the history purged?"
            )
        await asyncio.sleep(AGAIN_S)


async def ask_owner(connection: Connection, run: str, partitions: int) -> RunView | Ended | None:
    """What the owner of the run's partition has in memory of it; None if that is nothing, or if it does not answer."""
    subject = subjects.run(subjects.partition_of(run, partitions))
    try:
        answer = await connection.request(subject, msgspec.msgpack.encode([run]), timeout_s=OWNER_ANSWERS_S)
        fields = msgspec.msgpack.decode(answer.data, type=list[msgspec.Raw] | None)
        if fields is None:
            return None
        # The third field tells the two apart: the time of the end, or the flow's version.
        is_notice = isinstance(msgspec.msgpack.decode(fields[2]), int)
        return messages.decode(Ended, answer.data) if is_notice else messages.decode(RunView, answer.data)
    except (BrokerError, UnreadableRecord, IndexError, *FAILURES):
        return None


async def archived(connection: Connection, run: str, parts: Iterable[PartPlace]) -> list[bytes]:
    """The records that these parts hold, from the first on, as far as there is no gap."""
    records: list[bytes] = []
    for part in sorted(parts, key=lambda part: (part.first, part.seq, part.index)):
        if part.first <= len(records) < part.first + part.records:
            piece = await _read(connection, run, part)
            if piece is not None:
                records += [bytes(record) for record in piece.records[len(records) - piece.first :]]
    return records


def _with_tail(records: list[bytes], found: RunFound | None, view: RunView | Ended | None, is_late: bool) -> list[bytes] | None:
    """The journal with what the owner has; None if something is missing (yet)."""
    if isinstance(view, RunView):
        if len(records) < view.archived:
            return None
        return records[: view.archived] + [bytes(record) for record in view.tail]
    if found is None or (isinstance(view, Ended) and (found.row.ended_at is None or found.row.records <= view.reopened)):
        return None
    if found.row.ended_at is not None:
        return records if len(records) >= found.row.records else None
    whole = max((part.first + part.records for part in found.parts), default=0)
    return records if is_late and len(records) >= whole > 0 else None


async def _read(connection: Connection, run: str, place: PartPlace) -> Part | None:
    stored = await connection.streams.get(subjects.HISTORY, place.seq)
    if stored is None:
        return None
    try:
        part = messages.decode(Part, bytes(messages.split(stored.data)[place.index]))
    except (UnreadableRecord, IndexError):
        return None
    return part if part.run == run else None
