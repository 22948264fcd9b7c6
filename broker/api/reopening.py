"""Reopening runs: what is written so that a run goes on, worked out and checked before anything is.

    retry   RunReopened, for the run itself; its journal is where it is
    fork    a copy of the journal under a new id, then RunReopened with the run as its source (forking.py)

What can be said before is said in a `Report`: what goes out again, what stays, and which values that stay lie elsewhere. Those may have
been freed since the run ended; a node that needs one then has it made again, or fails with `payload_lost`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...schemas.errors import UnreadablePayload
from ...schemas.payload import refs_in
from ...schemas.plan.plan import Plan
from ...schemas.records import Record, RunReopened
from ..client import Connection
from ..engine import Run, blocked_on, nodes, reopen, to_retry
from ..read_model.errors import JournalGap
from ..read_model.journal import Journal
from ..read_model.views import PartPlace
from . import adopting
from .adopting import Place
from .inspection import Inspection
from .reopening_errors import JournalGone, NotFailed, NothingToRetry, RunOpen


@dataclass(frozen=True, slots=True)
class Report:
    """`waits_for`: what the run waits for when it goes on, in words. `kept`: the activations that stay completed. `dropped`: records.

    `elsewhere`: those of `kept` whose values lie in an arena or the object store, and may be gone.
    """

    waits_for: tuple[str, ...]
    kept: tuple[str, ...]
    dropped: int
    elsewhere: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reopening:
    """A run that can go on. `copy`: the journal to be stored for it first; None: it is at `places`."""

    run: str
    flow: str
    after: int
    dropped: tuple[int, ...]
    source: str
    report: Report
    places: tuple[Place, ...] = ()
    copy: Sequence[Record] | None = None

    async def carry_out(self, connection: Connection, partitions: int, reason: str) -> None:
        """Write it. Raises BrokerError."""
        places: Sequence[Place] = self.places
        if self.copy is not None:
            places = await adopting.write_history(connection, self.flow, self.run, self.copy)
        await adopting.reopen(connection, partitions, self.run, self.after, self.dropped, places, self.source, reason)


async def to_be_retried(client: Inspection, run: str) -> Reopening:
    """How a run that failed, or was cancelled or killed, goes on. Raises RunOpen, NotFailed, NothingToRetry, and as `journal_of` does."""
    journal, plan = await journal_of(client, run)
    if journal.found is None or journal.view is not None or journal.found.row.ended_at is None:
        raise RunOpen(run)
    if journal.found.row.status == "completed":
        raise NotFailed(run, journal.found.row.status)
    records = journal.decoded()
    dropped = to_retry(plan, records)
    state = folded(plan, records, RunReopened(run, records[-1].at, len(records), dropped))
    if state.ended:
        raise NothingToRetry(run, "it ends" if state.error is None else f"{state.error.type}: {state.error.message}")
    places = places_of(journal.found.parts, len(records))
    return Reopening(run, plan.name, len(records), dropped, "", report(state, dropped), places)


async def journal_of(client: Inspection, run: str) -> tuple[Journal, Plan]:
    """A run's whole journal, and its plan. Raises UnknownRun, JournalGone, ReaderAbsent, BrokerError, BrokenDefinition."""
    try:
        journal = await client._journal(run)
    except JournalGap as error:
        raise JournalGone(run, str(error)) from None
    digest = journal.view.digest if journal.view is not None else journal.found.row.digest if journal.found is not None else ""
    return journal, await client.flows.fetch(digest)


def folded(plan: Plan, records: Sequence[Record], record: RunReopened) -> Run:
    """The run as its owner will have it."""
    return reopen(plan, records, record, keep=True)[0]


def report(state: Run, dropped: Sequence[int]) -> Report:
    views = {name: view.output for name, view in nodes(state).items() if view.status == "completed"}
    elsewhere = [name for name, output in views.items() if output is not None and _lies_elsewhere(output)]
    return Report(tuple(map(str, blocked_on(state))), tuple(views), len(dropped), tuple(elsewhere))


def places_of(parts: Sequence[PartPlace], records: int) -> tuple[Place, ...]:
    """The parts that hold the first so many records, each record in one of them."""
    chosen: list[Place] = []
    known = 0
    for part in sorted(parts, key=lambda part: (part.first, part.seq, part.index)):
        if known < records and part.first <= known < part.first + part.records:
            chosen.append((part.seq, part.index, part.first))
            known = part.first + part.records
    return tuple(chosen)


def _lies_elsewhere(output: bytes) -> bool:
    try:
        return bool(refs_in(output))
    except UnreadablePayload:
        return False
