"""Studying runs: their state at any record, what tells two apart, why one did what it did, whether a journal is what was written.

Everything is read: the journal from the history and the run's owner, the plan from the registry. Nothing is changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from ...schemas import messages, subjects
from ...schemas.errors import JetfleetError, UnreadableRecord, UsageError
from ...schemas.messages import Part, RunView, Summary
from ...schemas.plan.plan import Plan
from ..read_model import questions
from ..read_model.journal import ask_owner
from ..read_model.views import PartPlace, RunFound
from ..run_result import RunResult
from ..study.difference import Difference, difference
from ..study.explanation import Explanation, explain, moment
from ..study.steps import record_number_at
from ..study.studied import Studied
from ..study.verification import StoredPart, Verdict, verify
from .errors import UnknownRun
from .inspection import Inspection

AT_ONCE = 8
"""Runs that are verified at the same time."""
PATIENCE_S, AGAIN_S = 3.0, 0.05
"""How long an index that is behind is waited for."""


class Studying(Inspection):
    """What `Client` inherits."""

    async def studied(self, run: str) -> Studied:
        """The run with its plan and its whole journal. Raises as `show` does."""
        found = await self._journal(run)
        digest = found.view.digest if found.view is not None else found.found.row.digest if found.found is not None else ""
        return Studied(await self.flows.fetch(digest), found.decoded())

    async def state(self, run: str, *, records: int | None = None, at_ms: int | None = None) -> RunResult:
        """The run as it was after its first so many records, or at a time, in ms since the epoch; without either, as it is.

        Raises UsageError if it had not begun then, or has not so many records; else as `show` does.
        """
        studied = await self.studied(run)
        count = len(studied.journal) if records is None else records
        if at_ms is not None:
            count = record_number_at(studied.journal, at_ms)
        if count < 1:
            raise UsageError(f"run {run} had not begun then: its first record is of {moment(studied.started.at)}")
        if count > len(studied.journal):
            raise UsageError(f"run {run} has {len(studied.journal)} records so far, from 0 to {len(studied.journal) - 1}")
        return RunResult.of(studied.at(count), studied.journal[:count])

    async def diff(self, a: str, b: str) -> Difference:
        """What tells two runs apart. Raises as `show` does."""
        return difference(await self.studied(a), await self.studied(b))

    async def explain(self, run: str) -> Explanation:
        """The run in plain sentences: what happened and why, and what would move it. Raises as `show` does."""
        return explain(await self.studied(run), time.time_ns() // 1_000_000)

    async def verify(self, run: str) -> Verdict:
        """Whether what the history has of a run is what was written. Raises UnknownRun, ReaderAbsent, BrokerError."""
        view = await ask_owner(self.connection, run, self.partitions)
        archived = view.archived if isinstance(view, RunView) else 0
        found = await self._indexed(run, archived)
        if found is None and view is None:
            raise UnknownRun(run)
        if found is None:
            return verify(run, [], expected=archived)
        parts = [part for place in found.parts for part in [await self._stored(place)] if part is not None]
        ended = found.row.records if found.row.ended_at is not None else 0
        return verify(run, parts, await self._plan(found.row.digest), expected=max(archived, ended))

    async def verify_all(self, where: str = "") -> AsyncIterator[Verdict]:
        """The same of all runs that a filter matches, the oldest first. Raises InvalidSearch, ReaderAbsent, BrokerError."""
        cursor = ""
        while True:
            page = await self.runs(where, order="started", limit=100, cursor=cursor)
            for start in range(0, len(page.rows), AT_ONCE):
                for verdict in await asyncio.gather(*(self.verify(row.id) for row in page.rows[start : start + AT_ONCE])):
                    yield verdict
            cursor = page.cursor
            if not cursor:
                return

    async def summary(self, run: str, records: int) -> Summary | None:
        """How a run ended with its first so many records, as the history says; None if it did not, or nobody can tell."""
        found = await questions.run(self.connection, run)
        for place in [] if found is None else found.parts:
            stored = await self._stored(place)
            part = None if stored is None else stored.part
            if part is not None and part.summary is not None and part.summary.records == records:
                return part.summary
        return None

    async def _indexed(self, run: str, archived: int) -> RunFound | None:
        """Where its parts are, once the index knows of all that were archived, or is given up on."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            found = await questions.run(self.connection, run)
            known = 0 if found is None else max((part.first + part.records for part in found.parts), default=0)
            if known >= archived or asyncio.get_running_loop().time() > deadline:
                return found
            await asyncio.sleep(AGAIN_S)

    async def _stored(self, place: PartPlace) -> StoredPart | None:
        """What is at a place of the history; None if it was deleted: another part may have the same records."""
        stored = await self.connection.streams.get(subjects.HISTORY, place.seq)
        where = f"HISTORY {place.seq}, entry {place.index}"
        if stored is None:
            return None
        try:
            return StoredPart(where, messages.decode(Part, bytes(messages.split(stored.data)[place.index])))
        except UnreadableRecord as error:
            return StoredPart(where, None, str(error))
        except IndexError:
            return StoredPart(where, None, "the message has fewer entries")

    async def _plan(self, digest: str) -> Plan | None:
        """None if it is not known here: then the chain has to do."""
        try:
            return await self.flows.fetch(digest)
        except JetfleetError:
            return None
