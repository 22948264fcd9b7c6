"""Bulk: one verb for every run that a filter lets through.

    bulk = client.bulk("cancel", "flow = orders and status = open", reason="wrong price list")
    print(len(await bulk.find()), "runs match")
    async for acted in bulk.act():
        print(acted.run, acted.how)

find   all pages of the filter, oldest run first, again until a round finds nothing new. The reader catches up with the streams before it
       answers, so every run is in that began before the call; those that begin later are not meant
act    each run by itself: asked of its owner once more, compared with the filter as it is now, then told

Guarantees: no run is told twice. One that no longer matches, or for which the verb makes no sense any more, is left as it is and reported.
Relative times in the filter (`-1h`) are counted from the call of `find`, however long the rest takes.
Does not: go on by itself after it was interrupted. Called again it finds those that still match, so what is done is not done twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from ...schemas.errors import JetfleetError, UsageError
from ..client import BrokerError
from ..pace import Pace
from ..read_model import questions
from ..read_model.matching import Matcher
from ..read_model.views import LIMIT_MAX, RunRow
from .reopening_errors import NotFailed, RunOpen
from .standing import Standing, refusal, standing

if TYPE_CHECKING:
    from .client import Client

VERBS = ("cancel", "kill", "pause", "resume", "signal", "retry", "fork")
DONE, ALREADY, CHANGED, FAILED = "done", "already", "changed", "failed"
CONCURRENCY = 32
"""Runs that are told at once, unless another number is given."""
SILENT_MAX = 10
"""So many runs in a row that the broker fails for: it is away, and the rest is not tried."""


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of one run.

    `how`: done; already (it had ended, or was paused or not paused, as `status` says); changed (it does not match any more); failed,
    with the `error`. `made`: the id of the run that a fork made.
    """

    run: str
    how: str
    status: str = ""
    error: JetfleetError | None = None
    made: str = ""

    def as_value(self) -> dict[str, Any]:
        """As plain data, as the commands print it."""
        error = None if self.error is None else {"type": self.error.code, "message": str(self.error)}
        return {"run_id": self.run, "outcome": self.how, "status": self.status, "error": error, "fork": self.made or None}


class Bulk:
    """Made by `Client.bulk`. `rows`: the runs that were found; `in_hand`: those that are being told right now."""

    def __init__(self, client: Client, verb: str, where: str, options: dict[str, Any], *, rate: float | None, concurrency: int) -> None:
        if verb not in VERBS:
            raise UsageError(f"there is no verb {verb!r} for many runs; there are: {', '.join(VERBS)}")
        if not where.strip():
            raise UsageError("a verb for many runs needs a filter; `records >= 0` lets every run through")
        self.rows: list[RunRow] = []
        self.in_hand: set[str] = set()
        self._client, self._verb, self._where, self._options = client, verb, where, options
        self._pace = Pace(1 / rate if rate else 0.0)
        self._concurrency = concurrency
        self._now_ms = 0
        self._silent = 0

    async def find(self) -> list[RunRow]:
        """The runs that match now. Raises InvalidSearch, ReaderAbsent, ReaderBehind, BrokerError."""
        self._now_ms = time.time_ns() // 1_000_000
        found: dict[str, RunRow] = {}
        while await self._round(found):
            pass
        self.rows = list(found.values())
        return self.rows

    async def act(self) -> AsyncIterator[Acted]:
        """Tell them all, and say of each what came of it, in the order in which that is known. Finds them first if nobody has.

        Stops early only where the broker does not answer any more: the rest is not in what was said then.
        """
        if not self._now_ms:
            await self.find()
        acted: asyncio.Queue[Acted | None] = asyncio.Queue()
        matcher = Matcher(self._where, self._now_ms)
        rows = iter(self.rows)
        hands = [asyncio.create_task(self._work(rows, matcher, acted)) for _ in range(min(self._concurrency, len(self.rows)))]
        try:
            working = asyncio.gather(*hands)
            working.add_done_callback(lambda _: acted.put_nowait(None))
            while (one := await acted.get()) is not None:
                yield one
            working.result()  # a defect must be seen
        finally:
            for hand in hands:
                hand.cancel()
            await asyncio.gather(*hands, return_exceptions=True)
            matcher.close()

    async def _round(self, found: dict[str, RunRow]) -> bool:
        """List all that match; whether one was not there before. What begins after the first round is not meant."""
        before, cursor = len(found), ""
        while True:
            page = await questions.runs(
                self._client.connection, self._where, order="started", limit=LIMIT_MAX, cursor=cursor, now_ms=self._now_ms, fresh=True
            )
            for row in page.rows:
                if not before or row.started_at <= self._now_ms:
                    found.setdefault(row.id, row)
            cursor = page.cursor
            if not cursor:
                return len(found) > before

    async def _work(self, rows: Iterator[RunRow], matcher: Matcher, acted: asyncio.Queue[Acted | None]) -> None:
        for row in rows:
            if self._silent >= SILENT_MAX:
                return
            await asyncio.sleep(self._pace.next_turn_in_s())
            self.in_hand.add(row.id)
            outcome = await self._one(row, matcher)
            self.in_hand.discard(row.id)  # not in a `finally`: who is interrupted wants to know which ones it was
            acted.put_nowait(outcome)

    async def _one(self, row: RunRow, matcher: Matcher) -> Acted:
        try:
            now = await standing(self._client.connection, row.id, self._client.partitions)
            refused = refusal(self._verb, now)
            if refused is not None:
                return Acted(row.id, ALREADY, now.status, refused)
            if not matcher.lets_through(_as_it_is(row, now)):
                return Acted(row.id, CHANGED, now.status)
            made = await getattr(self._client, self._verb)(row.id, **self._options)
        except (RunOpen, NotFailed) as error:  # of a retry
            return Acted(row.id, ALREADY, now.status, error)
        except JetfleetError as error:
            self._silent = self._silent + 1 if isinstance(error, BrokerError) else 0
            return Acted(row.id, FAILED, row.status, error)
        self._silent = 0
        return Acted(row.id, DONE, now.status, made=made.id if self._verb == "fork" else "")


def _as_it_is(row: RunRow, now: Standing) -> RunRow:
    """The row with what may have changed since it was listed."""
    status = now.status if now.ended or now.status == "paused" else "running"
    if (status, now.ended_at) == (row.status, row.ended_at):
        return row
    return msgspec.structs.replace(
        row,
        status=status,
        ended_at=now.ended_at,
        duration_ms=None if now.ended_at is None else max(0, now.ended_at - row.started_at),
        error_type=None if now.error is None else now.error.type,
        error_message=None if now.error is None else now.error.message,
    )
