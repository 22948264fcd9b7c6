"""Looking at runs: what is open is asked of its owner, what has ended of the read model.

Neither is needed for a run to go on. Nobody answers while a partition changes hands, which is a moment, or where no coordinator or reader
is running, which the errors say.
"""

from __future__ import annotations

from ...schemas.messages import Ended, RunView
from ...schemas.payload import NULL
from ...schemas.records import Record
from ..asking import PATIENCE_S
from ..client import Connection
from ..collection_views import CollectionView
from ..engine import fold
from ..flows import Flows
from ..limit_views import LimitView
from ..read_model import questions
from ..read_model.errors import ReaderAbsent
from ..read_model.journal import Journal, ask_owner, journal
from ..read_model.views import FlowCount, Page, RunFound, RunRow
from ..run_result import RunResult
from .collections import list_collections
from .errors import UnknownRun
from .family import MEMBERS_MAX, Family, family
from .limits import list_limits, look_at
from .result import Result


class Inspection:
    """What `Client` inherits. `partitions` is the number that was deployed; `flows`: those that somebody else follows already."""

    def __init__(self, connection: Connection, partitions: int, flows: Flows | None = None) -> None:
        self.connection = connection
        self.partitions = partitions
        self.flows = flows or Flows(connection)

    async def runs(
        self,
        where: str = "",
        *,
        flow: str | None = None,
        status: str | None = None,
        order: str = "-started",
        limit: int = 50,
        cursor: str = "",
    ) -> Page[RunRow]:
        """A page of runs. `where` is a filter such as `status=failed and started > -1h`; `cursor` is that of the page before.

        Raises InvalidSearch with the column, InvalidQuestion, ReaderAbsent, BrokerError.
        """
        return await questions.runs(self.connection, where, flow=flow, status=status, order=order, limit=limit, cursor=cursor)

    async def flow_counts(self) -> list[FlowCount]:
        """How many runs each flow has, by status. Raises ReaderAbsent, BrokerError."""
        return await questions.flows(self.connection)

    async def collections(self, flow: str = "") -> list[CollectionView]:
        """What is gathered right now, of one flow or of all that have `debounce` or `batch`: the oldest first. Raises BrokerError."""
        return await list_collections(self.connection, self.partitions, flow)

    async def limits(self, prefix: str = "", *, patience_s: float = PATIENCE_S) -> list[LimitView]:
        """The limits that are held or waited at right now, whose id begins with the prefix: those with the most waiting first.

        At most a thousand of each partition. A partition that nobody owns is waited for so long. Raises BrokerError.
        """
        return await list_limits(self.connection, self.partitions, prefix, patience_s)

    async def limit(self, id: str) -> LimitView | None:
        """One of them, with who holds its slots and who is next; None if nobody does. Raises BrokerError."""
        return await look_at(self.connection, self.partitions, id)

    async def look(self, run: str) -> RunView | None:
        """An open run as its owner sees it right now; None if it is not open, or nobody answers. Cheap."""
        found = await ask_owner(self.connection, run, self.partitions)
        return found if isinstance(found, RunView) else None

    async def show(self, run: str) -> RunResult:
        """Everything about a run, open or ended: its nodes with their outputs, and its journal, which is read and folded for this.

        Of an open one `status` is running or paused, and `ended_at` the time of its last record. Raises UnknownRun, ReaderAbsent,
        JournalGap, BrokerError.
        """
        found = await self._journal(run)
        digest = found.view.digest if found.view is not None else found.found.row.digest if found.found is not None else ""
        records = found.decoded()
        return RunResult.of(fold(await self.flows.fetch(digest), records, keep=True), records)

    async def tree(self, run: str, *, most: int = MEMBERS_MAX) -> Family:
        """A run with the runs of its sub-flows, theirs, and so on down: at most so many. Raises UnknownRun, ReaderAbsent, BrokerError."""
        return await family(self.connection, run, self.partitions, most)

    async def history(self, run: str) -> list[Record]:
        """The journal of a run: every record, in order. Raises as `show` does."""
        return (await self._journal(run)).decoded()

    async def outcome(self, run: str, *, has_ended: bool = False, after: int = 0) -> Result | None:
        """How a run ended; None if it is open, or nobody can tell right now. `after`: not the end that it had had by so many records.

        Raises ReaderAbsent if it `has_ended` for sure, but only a reader can tell how.
        """
        answer = await ask_owner(self.connection, run, self.partitions)
        if isinstance(answer, RunView):
            return None
        if isinstance(answer, Ended) and answer.reopened < after:
            return None
        if isinstance(answer, Ended) and tells_all(answer):
            return ended(answer)
        try:
            found = await questions.run(self.connection, run)
        except ReaderAbsent:
            if has_ended or answer is not None:
                raise
            return None
        is_known = found is not None and found.row.ended_at is not None and found.row.records > after
        return await self._archived(found) if found is not None and is_known else None

    async def _archived(self, found: RunFound) -> Result:
        row, payload = found.row, found.output
        if payload is None:  # too large for the index
            payload = (await self.show(row.id)).payload if row.status == "completed" else NULL
        return Result(row.id, row.status, payload, found.error, row.ended_at or 0, row.started_at)

    async def _journal(self, run: str) -> Journal:
        found = await journal(self.connection, run, self.partitions)
        if found is None:
            raise UnknownRun(run)
        return found


def tells_all(notice: Ended) -> bool:
    """Whether the output is in the notice: a large one is left out."""
    return notice.output is not None or notice.status != "completed"


def ended(notice: Ended) -> Result:
    """The result that a notice tells of."""
    return Result(notice.run, notice.status, NULL if notice.output is None else notice.output, notice.error, notice.ended_at)
