"""Approvals: what runs wait for people to decide, and the decisions of these people.

Guarantees: an answer is checked before anything is written, and when a call returns it was the one that counted: the owner of the run has
taken it in. Of several at once the first in the log counts, and the others are told who decided what.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ...schemas import records as rec
from ...schemas import subjects
from ...schemas.codec import encode_batch
from ...schemas.effects import Outcome, StopAwaiting
from ...schemas.errors import JetfleetError, UsageError
from ...schemas.payload import NULL, decode, encode
from ..asking import PATIENCE_S, ask_patiently
from ..client import BrokerError, Connection, Unknown
from ..engine import begin, decide
from ..flows import Flows
from ..read_model.views import Page
from ..tokens import Tokens, rotate
from ..waiting import (
    DECIDED,
    FORGOTTEN,
    LIMIT_MAX,
    REJECTED,
    RUN_ENDED,
    UNKNOWN_RUN,
    WAITS,
    Decision,
    SignalRejected,
    Waiting,
    WaitingPage,
    WaitingQuestion,
    decision,
    refusals,
)
from .approval_errors import SHOWN_MAX, AlreadyAnswered, AnswerUnconfirmed, NotWaiting, TokenExpired, TokenUsed, WaitCalledOff
from .errors import RunEnded, UnknownRun
from .standing import standing

KINDS = ("approval", "signal")


@dataclass(frozen=True, slots=True)
class Pending:
    """One approval, or signal, that a run waits for. `node`: the activation's name. `due`: ms since the epoch; None without a timeout.

    `schema`: what the response, or the signal's value, must fit; None: anything. `wait`: which one of the run it is.
    """

    run: str
    flow: str
    node: str
    kind: str
    name: str
    assignees: tuple[str, ...]
    metadata: Mapping[str, Any]
    due: int | None
    schema: Any
    wait: int
    activation: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class Decided:
    """How an approval was decided: `decision` is approve, reject or escalate; `at` in ms since the epoch."""

    run: str
    name: str
    decision: str
    by: str
    at: int
    reason: str


class Journals(Protocol):
    """Where the journal of a run is found."""

    async def history(self, run: str) -> list[rec.Record]: ...


class Approvals:
    """The calls that `Client` passes on."""

    def __init__(self, connection: Connection, partitions: int, flows: Flows, journals: Journals) -> None:
        self._connection, self._partitions, self._flows, self._journals = connection, partitions, flows, journals
        self._tokens: Tokens | None = None

    async def pending(
        self, kind: str, flow: str | None, assignee: str | None, name: str | None, run: str | None, limit: int, cursor: str
    ) -> Page[Pending]:
        """As `Client.pending`."""
        if kind not in KINDS:
            raise UsageError(f"runs wait for no {kind!r} that could be listed: {' or '.join(KINDS)}")
        if not 1 <= limit <= LIMIT_MAX:
            raise UsageError(f"a page of {limit} rows: between 1 and {LIMIT_MAX} are possible")
        of = range(self._partitions) if run is None else [subjects.partition_of(run, self._partitions)]
        after = _after(cursor)
        rows: list[Waiting] = []
        more = False
        for partition in of:
            found, has_more = await self._of_partition(partition, WaitingQuestion(kind, limit, flow, assignee, name, run, after))
            rows, more = rows + found, more or has_more
        rows.sort(key=_place)
        shown = rows[:limit]
        next = f"{shown[-1].wait}:{shown[-1].run}" if shown and (more or len(rows) > limit) else ""
        return Page([_pending(row) for row in shown], next)

    async def _of_partition(self, partition: int, question: WaitingQuestion) -> tuple[list[Waiting], bool]:
        """The next rows of one partition, up to the limit, and whether there are more."""
        rows: list[Waiting] = []
        after: tuple[str, int] | None = question.after
        while after is not None and len(rows) < question.limit:
            asked = WaitingQuestion(question.kind, question.limit - len(rows), *_filters(question), after)
            page = await ask_patiently(self._connection, subjects.waiting(partition), asked, WaitingPage)
            rows, after = rows + page.rows, page.next
        return rows, after is not None

    async def token(self, of: Pending) -> str:
        """As `Client.token`."""
        return (await self._signer()).sign(of.run, of.activation, of.wait)

    async def rotate(self) -> None:
        await rotate(self._connection)

    async def close(self) -> None:
        if self._tokens is not None:
            await self._tokens.stop()

    # --- answering

    async def answer_hook(self, run: str, hook: str, said: dict[str, Any], id: str) -> Decided:
        """Answer the approval of a run that has waited longest under that name."""
        found = (await self.pending("approval", None, None, hook, run, 1, "")).rows
        if found:
            return await self.answer(found[0], said, id)
        await self._refuse_unknown(run, hook, said)
        others = (await self.pending("approval", None, None, None, run, SHOWN_MAX + 1, "")).rows
        raise NotWaiting(run, hook, [each.name for each in others])

    async def answer_token(self, token: str, said: dict[str, Any], id: str) -> Decided:
        """Answer the approval that a token names."""
        named = await (await self._signer()).read(token)
        found = await self._find(named.run, named.wait)
        try:
            if found is None:
                await self._explain(named.run, "", named.wait)
            assert found is not None
            return await self.answer(found, said, id)
        except AlreadyAnswered as error:
            raise (TokenExpired if error.outcome.timed_out else TokenUsed)(error.run, error.hook, error.outcome) from None

    async def answer(self, to: Pending, said: dict[str, Any], id: str) -> Decided:
        """Answer one that is pending, or was. Raises as `Client.answer`."""
        id = id or uuid.uuid4().hex
        now = await self._decision(to.run, to.wait)
        if now.state != WAITS:
            return await self._settle(to, now, id)
        record = rec.SignalReceived(to.run, time.time_ns() // 1_000_000, to.name, encode(said), id, to.wait)
        await self._check(record)
        subject = subjects.wal(subjects.partition_of(to.run, self._partitions))
        await self._connection.publisher.publish(subject, encode_batch([record]))
        try:
            now = await self._decision(to.run, to.wait)
        except Unknown as error:
            raise AnswerUnconfirmed(to.run, to.name, id) from error
        return await self._settle(to, now, id)

    async def _check(self, record: rec.SignalReceived) -> None:
        (answer,) = await refusals(self._connection, self._partitions, [record], patience_s=PATIENCE_S)
        if isinstance(answer, BrokerError):
            raise answer
        if answer.state == REJECTED and (await self._decision(record.run, record.wait)).state == WAITS:
            raise SignalRejected(record.run, answer.why)

    async def _settle(self, to: Pending, now: Decision, id: str) -> Decided:
        """What the call returns or raises, by what became of the approval."""
        outcome = now.outcome if now.state == DECIDED else None
        if now.state == FORGOTTEN:
            outcome = await self._from_journal(to.run, to.wait)
        if outcome is not None and id and outcome.id == id:
            return Decided(to.run, to.name, outcome.decision, outcome.by, outcome.at, outcome.reason)
        if outcome is not None:
            raise AlreadyAnswered(to.run, to.name, outcome)
        if now.state == WAITS:
            raise AnswerUnconfirmed(to.run, to.name, id)
        await self._refuse_ended(to.run)
        raise WaitCalledOff(to.run, to.name)

    async def _explain(self, run: str, hook: str, wait: int) -> None:
        """Raise why a wait that was named is no more."""
        gone = Pending(run, "", "", "approval", hook, (), {}, None, None, wait, ())
        await self._settle(gone, await self._decision(run, wait), "")

    async def _find(self, run: str, wait: int) -> Pending | None:
        pending = (await self.pending("approval", None, None, None, run, 1, f"{wait - 1}:{run}")).rows
        return pending[0] if pending and pending[0].wait == wait else None

    async def _decision(self, run: str, wait: int) -> Decision:
        return await decision(self._connection, self._partitions, run, wait, patience_s=PATIENCE_S)

    async def _from_journal(self, run: str, wait: int) -> Outcome | None:
        """What became of an approval that the owner has forgotten; None if it was called off, or nobody can tell."""
        try:
            records = await self._journals.history(run)
        except UnknownRun:
            raise
        except JetfleetError:
            return None
        if not records or not isinstance(records[0], rec.RunStarted):
            return None
        state, effects = begin(await self._flows.fetch(records[0].digest), records[0])
        found = None
        for record in records[1:]:
            effects = decide(state, record)
            ends = [each for each in effects if isinstance(each, StopAwaiting) and each.kind == "approval" and each.wait == wait]
            found = ends[-1].outcome if ends else found
        return found

    async def _refuse_unknown(self, run: str, hook: str, said: dict[str, Any]) -> None:
        """Raise UnknownRun or RunEnded if that is why nothing waits."""
        signal = rec.SignalReceived(run, 0, hook, encode(said))
        (answer,) = await refusals(self._connection, self._partitions, [signal], patience_s=PATIENCE_S)
        if isinstance(answer, BrokerError):
            raise answer
        if answer.state in (RUN_ENDED, UNKNOWN_RUN):
            await self._refuse_ended(run, answer.why)

    async def _refuse_ended(self, run: str, status: str = "") -> None:
        """Raise RunEnded, or UnknownRun, unless the run is open."""
        if status:
            raise RunEnded(run, status)
        now = await standing(self._connection, run, self._partitions)
        if now.ended:
            raise RunEnded(run, now.status)

    async def _signer(self) -> Tokens:
        if self._tokens is None:
            tokens = Tokens(self._connection)
            await tokens.start()
            self._tokens = tokens
        return self._tokens


def answer_value(decision: str, response: Any, reason: str, by: str) -> dict[str, Any]:
    """An answer as it travels."""
    return {"decision": decision, "response": response, "reason": reason or None, "by": by or None}


def _filters(question: WaitingQuestion) -> tuple[str | None, str | None, str | None, str | None]:
    return question.flow, question.assignee, question.name, question.run


def _after(cursor: str) -> tuple[str, int]:
    wait, _, run = cursor.partition(":")
    if cursor and not (wait.lstrip("-").isdecimal() and len(wait) < 20 and run):
        raise UsageError(f"{cursor!r} is no cursor: it is what the page before said")
    return (run, int(wait)) if cursor else ("", 0)


def _place(row: Waiting) -> tuple[str, int]:
    return row.run, row.wait


def _pending(row: Waiting) -> Pending:
    schema = None if row.schema == NULL else decode(row.schema)
    return Pending(
        row.run, row.flow, row.node, row.kind, row.name, row.assignees, decode(row.metadata), row.due, schema, row.wait, row.activation
    )
