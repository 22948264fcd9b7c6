"""Questions: the read model as those see it who ask. Every function takes a connection and may raise

ReaderAbsent      no reader is running          InvalidSearch, InvalidQuestion    the question makes no sense as asked
ReaderSilent      one is, and does not answer   BrokerError                       the broker is away
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...schemas import subjects
from ..client import Connection, NoResponders, Unknown
from .errors import InvalidQuestion, InvalidSearch, ReaderAbsent, ReaderBehind, ReaderSilent, ReadModelError
from .views import Answer, DeadAsked, DeadRow, FlowCount, Page, RunFound, RunRow, RunsAsked, decode, encode

ANSWER_S = 10.0
"""Longer than a search may take."""
_ERRORS: dict[str, type[ReadModelError]] = {error.code: error for error in (InvalidQuestion, ReaderBehind)}


async def runs(
    connection: Connection,
    where: str = "",
    *,
    flow: str | None = None,
    status: str | None = None,
    order: str = "-started",
    limit: int = 50,
    cursor: str = "",
    now_ms: int = 0,
    fresh: bool = False,
) -> Page[RunRow]:
    """A page of runs: those that the filter (search.py) lets through, of a flow, of a status. `cursor`: that of the page before.

    `fresh`: the reader catches up before it answers; raises ReaderBehind if it cannot.
    """
    asked = RunsAsked(where, flow, status, order, limit, cursor, now_ms, fresh)
    page: Page[RunRow] = await _ask(connection, "runs", asked, Page[RunRow])
    return page


async def run(connection: Connection, id: str) -> RunFound | None:
    """One run; None if no run of that id is known."""
    found: RunFound | None = await _ask(connection, "run", id, RunFound | None)
    return found


async def flows(connection: Connection) -> list[FlowCount]:
    """How many runs each flow has, by status."""
    counts: list[FlowCount] = await _ask(connection, "flows", None, list[FlowCount])
    return counts


async def dead(connection: Connection, *, kind: str | None = None, limit: int = 50, before: int = 0) -> Page[DeadRow]:
    """Dead letters, newest first. A page may have fewer rows than `limit` and still not be the last."""
    page: Page[DeadRow] = await _ask(connection, "dead", DeadAsked(kind, limit, before), Page[DeadRow])
    return page


async def reader(connection: Connection) -> dict[str, Any]:
    """How a reader is doing: positions, backlog, entries that could not be read."""
    facts: dict[str, Any] = await _ask(connection, "reader", None, dict[str, Any])
    return facts


async def _ask(connection: Connection, what: str, question: Any, type: Any) -> Any:
    try:
        message = await connection.request(subjects.query(what), encode(question), timeout_s=ANSWER_S)
    except NoResponders:
        raise ReaderAbsent from None
    except Unknown:
        raise ReaderSilent(f"the reader did not answer within {ANSWER_S:g} s; ask for less, or look at its log") from None
    try:
        answer = decode(Answer, message.data)
        if not answer.code:
            return decode(type, answer.body)
    except msgspec.MsgspecError as error:
        raise ReaderSilent(f"the reader's answer cannot be read: {error}; run the same version of jetfleet everywhere") from None
    if answer.code == InvalidSearch.code:
        raise InvalidSearch(answer.reason, answer.column)
    raise _ERRORS.get(answer.code, ReadModelError)(answer.reason)
