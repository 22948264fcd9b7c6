"""Verification: whether the parts of a run's journal are still what was written.

Parts are looked at in the order of their first records. Each must follow on the one before, or say the same where the two overlap; its hash
chain must come out as it stands in it; its records must be this run's; a summary must stand where the journal says that the run ended.

Guarantees: a byte that was changed, a record that is missing, added or moved is found, and the message says from which record on and where.
Does not: find a forger who computes a new chain over everything behind the change, nor what was cut off the end of an open run. Whoever
must be sure of that keeps the chain's last value elsewhere and compares.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from ...schemas.chain import UNKNOWN, extended, start
from ...schemas.codec import decode_record
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Part, Summary
from ...schemas.plan.plan import Plan
from ...schemas.records import Record, RunStarted
from ..engine import fold

MADE_BY_OWNERS = frozenset(("internal", "payload_too_large"))
"""Errors that the owner of a run ends it with where the engine would not: the fold cannot come to them."""


@dataclass(frozen=True, slots=True)
class StoredPart:
    """A part with where it is, as a person finds it. `part` None: what is there is no part, for this reason."""

    place: str
    part: Part | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong. `record`: the number of the first record that may not be what was written. `place`: where that is."""

    record: int
    place: str
    what: str

    def __str__(self) -> str:
        return f"record {self.record}: {self.what} ({self.place})"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`records` is how many were read in order, `chained` how many of them the chain covers, `chain` its last value.

    `summary`: of the run's latest end; None of an open run. `flaw`: the first one; None if there is none.
    """

    run: str
    records: int
    chained: int
    chain: bytes
    summary: Summary | None
    flaw: Flaw | None

    @property
    def sound(self) -> bool:
        return self.flaw is None

    @property
    def status(self) -> str:
        """`broken`, `not chained` (some records are older than chains), or `sound`."""
        return "broken" if self.flaw is not None else "sound" if self.chained == self.records else "not chained"


_encode = msgspec.msgpack.Encoder().encode


class _Broken(Exception):
    def __init__(self, record: int, place: str, what: str) -> None:
        self.flaw = Flaw(record, place, what)


class _Journal:
    """The parts that were taken in so far."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.records: list[bytes] = []
        self.values = [start(run)]
        """The chain's value before each record, and after the last one."""
        self.places: list[str] = []
        self.confirmed = 0
        """How many records a value in some part has covered."""
        self.summary: Summary | None = None

    def take(self, stored: StoredPart) -> None:
        part = stored.part
        if part is None:
            raise _Broken(len(self.records), stored.place, f"what is there cannot be read: {stored.reason}")
        if part.run != self.run:
            raise _Broken(part.first, stored.place, f"the part is of another run, {part.run!r}")
        if part.first > len(self.records):
            missing = f"records {len(self.records)} to {part.first - 1} are missing"
            raise _Broken(len(self.records), stored.place, f"{missing}: the next part begins with record {part.first}")
        for number, raw in enumerate(part.records, part.first):
            self._take_record(number, bytes(raw), stored.place)
        self._take_chain(part, stored.place)
        self._take_summary(part, stored.place)

    def _take_record(self, number: int, record: bytes, place: str) -> None:
        if number < len(self.records):
            if record != self.records[number]:
                raise _Broken(number, f"{self.places[number]} and {place}", "two parts of the journal say different things")
            return
        try:
            decoded = decode_record(record)
        except UnreadableRecord as error:
            raise _Broken(number, place, str(error)) from None
        if decoded.run != self.run:
            raise _Broken(number, place, f"it is a record of another run, {decoded.run!r}")
        if number == 0 and not isinstance(decoded, RunStarted):
            raise _Broken(number, place, f"a journal begins with RunStarted, and this is {type(decoded).__name__}")
        self.records.append(record)
        self.values.append(extended(self.values[-1], [record]))
        self.places.append(place)

    def _take_chain(self, part: Part, place: str) -> None:
        end = part.first + len(part.records)
        if part.chain == UNKNOWN:
            return
        if part.chain != self.values[end]:
            last = f" to {end - 1}" if end - 1 > self.confirmed else ""
            raise _Broken(self.confirmed, place, f"the hash chain does not hold; what was changed is among records {self.confirmed}{last}")
        self.confirmed = max(self.confirmed, end)

    def _take_summary(self, part: Part, place: str) -> None:
        end = part.first + len(part.records)
        if part.summary is None:
            return
        if part.summary.records != end:
            raise _Broken(end, place, f"the summary counts {part.summary.records} records, and the part ends behind {end}")
        self.summary = part.summary if end == len(self.records) else self.summary


def verify(run: str, parts: Iterable[StoredPart], plan: Plan | None = None, *, expected: int = 0) -> Verdict:
    """Look at all parts of a run's journal. `plan` given: also whether the fold of the records ends as the summary says.

    `expected`: how many records somebody knows to have been archived.
    """
    journal, flaw = _Journal(run), None
    try:
        for stored in sorted(parts, key=_by_first):
            journal.take(stored)
        if len(journal.records) < expected:
            missing = f"records {len(journal.records)} to {expected - 1} are missing: the history ends before them"
            raise _Broken(len(journal.records), journal.places[-1] if journal.places else "HISTORY", missing)
        if journal.summary is not None and journal.summary.records != len(journal.records):
            journal.summary = None  # it went on since
        if plan is not None and journal.summary is not None:
            _compare_end(journal, plan, journal.summary)
    except _Broken as broken:
        flaw = broken.flaw
    return Verdict(run, len(journal.records), journal.confirmed, journal.values[-1], journal.summary, flaw)


def _by_first(stored: StoredPart) -> int:
    """What cannot be read comes last: the others may say from which record on something is missing."""
    return 1 << 62 if stored.part is None else stored.part.first


def _compare_end(journal: _Journal, plan: Plan, summary: Summary) -> None:
    last, place = len(journal.records) - 1, journal.places[-1] if journal.places else "HISTORY"
    what = unlike_summary(plan, [decode_record(record) for record in journal.records], summary)
    if what:
        raise _Broken(last, place, what)


def unlike_summary(plan: Plan, records: list[Record], summary: Summary) -> str:
    """What the fold of a journal and its summary disagree about; "" if they agree."""
    if summary.error is not None and summary.error.type in MADE_BY_OWNERS:
        return ""
    run = fold(plan, records)
    if run.status != summary.status:
        return f"the records lead to {run.status}, and the summary says {summary.status}"
    if run.output != summary.output:
        return "the records lead to another output than the summary says"
    if _encode(run.error) != _encode(summary.error):  # details are lists where they come from the wire
        return "the records lead to another error than the summary says"
    times = (run.started_at, run.updated_at), (summary.started_at, summary.ended_at)
    return "" if times[0] == times[1] else f"the records begin and end at {times[0]}, and the summary says {times[1]}"
