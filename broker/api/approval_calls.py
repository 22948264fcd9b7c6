"""What a client can do about runs that wait for people. `Client` inherits it."""

from __future__ import annotations

from typing import Any

from ..client import Connection
from ..flows import Flows
from ..read_model.views import Page
from .approvals import Approvals, Decided, Pending, answer_value
from .inspection import Inspection

PAGE = 100


class ApprovalCalls(Inspection):
    """All raise BrokerError; its kind `Unknown` where no coordinator answers for a partition."""

    def __init__(self, connection: Connection, partitions: int, flows: Flows | None = None) -> None:
        super().__init__(connection, partitions, flows)
        self._approvals = Approvals(connection, partitions, self.flows, self)

    async def pending(
        self,
        flow: str | None = None,
        assignee: str | None = None,
        kind: str = "approval",
        *,
        name: str | None = None,
        run: str | None = None,
        limit: int = PAGE,
        cursor: str = "",
    ) -> Page[Pending]:
        """A page of what runs wait for: approvals, or signals (`kind="signal"`), by the ids of the runs.

        `assignee`: only those that name this person; `name`: only of this hook or signal; `cursor`: that of the page before. Raises
        UsageError.
        """
        return await self._approvals.pending(kind, flow, assignee, name, run, limit, cursor)

    async def answer(
        self, to: Pending | str, decision: str, *, response: Any = None, reason: str = "", by: str = "", id: str = ""
    ) -> Decided:
        """Answer an approval, or the one that a token names: `approve`, `reject` or `escalate`.

        Returns when this answer was the one that counted. `by`: who decides, for the journal and the next node. `id`: the same again is the
        same answer, so it may be repeated. Raises SignalRejected, AlreadyAnswered, WaitCalledOff, RunEnded, UnknownRun, AnswerUnconfirmed,
        UnencodableValue; for a token also TokenInvalid, TokenUsed, TokenExpired. None of them has changed anything.
        """
        said = answer_value(decision, response, reason, by)
        if isinstance(to, Pending):
            return await self._approvals.answer(to, said, id)
        return await self._approvals.answer_token(to, said, id)

    async def decide(
        self, run: str, hook: str, decision: str, *, response: Any = None, reason: str = "", by: str = "", id: str = ""
    ) -> Decided:
        """Answer the approval that a run waits for under this name; of several the one that has waited longest.

        Raises what `answer` raises, and NotWaiting.
        """
        return await self._approvals.answer_hook(run, hook, answer_value(decision, response, reason, by), id)

    async def token(self, of: Pending) -> str:
        """The token of an approval: whoever has it can answer this one, once."""
        return await self._approvals.token(of)

    async def rotate_tokens(self) -> None:
        """Make a new secret for tokens; those of the one before stay valid, older ones end. Raises RotatedLately."""
        await self._approvals.rotate()
