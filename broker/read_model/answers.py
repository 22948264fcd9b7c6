"""Answers: the reader's side of `query.<what>`. Readers share the questions: each is answered by one of them.

    query.runs     RunsAsked       → Page of RunRow           query.flows    nothing    → list of FlowCount
    query.run      the run's id    → RunFound or nil          query.dead     DeadAsked  → Page of DeadRow
    query.reader   nothing         → facts about this reader

A question that cannot be answered gets the reason, never silence.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import structlog

from ...schemas import subjects
from ..client import BrokerError, Connection, Message, NotFound, Subscription
from . import queries
from .errors import InvalidQuestion, InvalidSearch, ReaderBehind, ReadModelError
from .store import Store
from .views import Answer, DeadAsked, DeadRow, Page, RunsAsked, decode, encode

GROUP = "readers"
AT_ONCE = 64
CATCH_UP_S = 4.0
"""Before a question that asks for a fresh answer; with the search itself it stays below what the asker waits."""
_log = structlog.get_logger(__name__)


class Answers:
    """`facts` tells how this reader is doing; `caught_up` returns when it knows all that was in the streams."""

    def __init__(
        self, connection: Connection, store: Store, facts: Callable[[], dict[str, Any]], caught_up: Callable[[], Awaitable[None]]
    ) -> None:
        self._connection, self._store, self._facts, self._caught_up = connection, store, facts, caught_up
        self._subscriptions: list[Subscription] = []
        self._answering: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._by_subject: dict[str, Callable[[bytes], Awaitable[Any]]] = {
            subjects.query("runs"): self._runs,
            subjects.query("run"): self._run,
            subjects.query("flows"): self._flows,
            subjects.query("dead"): self._dead,
            subjects.query("reader"): self._reader,
        }

    async def start(self) -> None:
        self._subscriptions = [await self._connection.subscribe(each, self._take, queue=GROUP) for each in self._by_subject]

    async def stop(self) -> None:
        """Take no more questions, answer those that were taken."""
        subscriptions, self._subscriptions = self._subscriptions, []
        for subscription in subscriptions:
            await subscription.stop()
        await asyncio.gather(*self._answering, return_exceptions=True)

    def _take(self, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(message))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, message: Message) -> None:
        async with self._room:
            answer = await self._made(message)
        data = encode(answer)
        if len(data) > self._connection.max_payload:
            data = encode(
                Answer(code=InvalidQuestion.code, reason=f"the answer has {len(data):,} bytes, too many for a message; ask for fewer rows")
            )
        await message.respond(data)

    async def _made(self, message: Message) -> Answer:
        try:
            body = await self._by_subject[message.subject](message.data)
            return Answer(msgspec.Raw(encode(body)))
        except InvalidSearch as error:
            return Answer(code=error.code, reason=error.reason, column=error.column)
        except ReadModelError as error:
            return Answer(code=error.code, reason=str(error))
        except msgspec.MsgspecError as error:
            return Answer(code=InvalidQuestion.code, reason=f"the question on {message.subject} cannot be read: {error}")
        except (BrokerError, sqlite3.Error) as error:
            _log.warning("a question could not be answered", subject=message.subject, error=str(error))
            return Answer(code=ReadModelError.code, reason=f"the reader cannot look: {error}")

    async def _runs(self, data: bytes) -> Any:
        asked = decode(RunsAsked, data)
        if asked.fresh:
            await self._catch_up()
        return await self._store.read(queries.runs, asked, asked.now_ms or int(time.time() * 1_000))

    async def _catch_up(self) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await self._caught_up()
        except TimeoutError:
            raise ReaderBehind(
                f"the reader has not caught up within {CATCH_UP_S:g} s, runs could be missed; `jetfleet doctor` says how far behind it is"
            ) from None

    async def _run(self, data: bytes) -> Any:
        return await self._store.read(queries.run, decode(str, data))

    async def _flows(self, data: bytes) -> Any:
        return await self._store.read(queries.flows)

    async def _reader(self, data: bytes) -> Any:
        return self._facts()

    async def _dead(self, data: bytes) -> Any:
        """A page without the letters that have left the stream, which the tables cannot know."""
        page: Page[DeadRow] = await self._store.read(queries.dead, decode(DeadAsked, data))
        there = await asyncio.gather(*(self._is_there(row.seq) for row in page.rows))
        gone = [row.seq for row, is_there in zip(page.rows, there, strict=True) if not is_there]
        if not gone:
            return page
        await self._store.write(queries.bury, gone)
        return Page([row for row in page.rows if row.seq not in set(gone)], page.cursor)

    async def _is_there(self, seq: int) -> bool:
        try:
            return await self._connection.streams.get(subjects.DEAD, seq) is not None
        except NotFound:
            return False
