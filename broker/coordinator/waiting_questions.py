"""Waiting questions: an owner's answers to who waits, what became of an approval, and whether a run would take a signal.

Answers are given when everything that is in the WAL has been taken in, so that an answer which is on disk before a question is counted in
it. A page looks at a bounded number of runs and gives way to the loop, however many wait; a run that rests is only looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec

from ...schemas.payload import NULL, encode
from ...schemas.records import SignalReceived
from ..client import Message
from ..engine import asks, is_asked, refusal
from ..waiting import (
    CALLED_OFF,
    DECIDED,
    FORGOTTEN,
    LIMIT_MAX,
    REJECTED,
    RUN_ENDED,
    TAKEN,
    UNKNOWN_RUN,
    WAITS,
    Decision,
    Refusal,
    Waiting,
    WaitingPage,
    WaitingQuestion,
)
from .answering import Answering
from .open_run import OpenRun

TURN_LOOKS = 20
"""Runs that are looked at before the loop serves others."""
LOOKS_MAX = 200
"""Runs that a page looks at: one that asks for what nearly nobody waits for has to be asked for again."""
PAGE_MAX_BYTES = 256 * 1024

_question = msgspec.msgpack.Decoder(WaitingQuestion)
_wait = msgspec.msgpack.Decoder(tuple[str, int])
_signals = msgspec.msgpack.Decoder(list[SignalReceived])
_encode = msgspec.msgpack.Encoder().encode


class WaitingQuestions(Answering):
    """Those of one partition."""

    def waiting(self, message: Message) -> None:
        self._answer(self._tell_page(message))

    def decided(self, message: Message) -> None:
        self._answer(self._tell_decision(message))

    def takes(self, message: Message) -> None:
        self._answer(self._tell_refusals(message))

    async def _tell_page(self, message: Message) -> None:
        question = _question.decode(message.data)
        if await self._ours():
            await message.respond(_encode(await self._page(question)))

    async def _page(self, question: WaitingQuestion) -> WaitingPage:
        limit = min(question.limit, LIMIT_MAX)
        rows: list[Waiting] = []
        size, behind = 0, question.after
        ids = self._ids(question)
        for looked, id in enumerate(ids, 1):
            run = self._partition.runs.get(id)
            for row in () if run is None else _rows(run, question):
                size += len(row.metadata) + len(row.schema)
                if rows and (len(rows) >= limit or size > PAGE_MAX_BYTES):
                    return WaitingPage(rows, behind)
                rows.append(row)
                behind = (id, row.wait)
            behind = (id, 0) if behind[0] != id else behind
            if looked % TURN_LOOKS == 0:
                await asyncio.sleep(0)
        return WaitingPage(rows, behind if question.run is None and len(ids) >= LOOKS_MAX else None)

    def _ids(self, question: WaitingQuestion) -> list[str]:
        """The runs to look at. The one at which the page before ended may have more."""
        if question.run is not None:
            return [question.run]
        last, _ = question.after
        ids = self._partition.waiting.page(question.kind, question.flow, question.assignee, last, LOOKS_MAX)
        return [last, *ids] if last else ids

    async def _tell_decision(self, message: Message) -> None:
        run, wait = _wait.decode(message.data)
        if await self._ours():
            await message.respond(_encode(self._decision(run, wait)))

    def _decision(self, id: str, wait: int) -> Decision:
        run = self._partition.runs.get(id)
        if run is not None and is_asked(run.look(), "approval", wait):
            return Decision(WAITS)
        known, outcome = self._partition.decisions.find(id, wait)
        if not known:
            return Decision(FORGOTTEN)
        return Decision(CALLED_OFF if outcome is None else DECIDED, outcome)

    async def _tell_refusals(self, message: Message) -> None:
        signals = _signals.decode(message.data)
        if not await self._ours():
            return
        found: list[Refusal] = []
        for looked, signal in enumerate(signals, 1):
            found.append(self._refusal(signal))
            if looked % TURN_LOOKS == 0:
                await asyncio.sleep(0)
        await message.respond(_encode(found))

    def _refusal(self, signal: SignalReceived) -> Refusal:
        here = self._partition
        run = here.runs.get(signal.run)
        if run is not None:
            why = refusal(run.look(), signal)
            return Refusal(REJECTED, why) if why else Refusal(TAKEN)
        end = here.recent.get(signal.run)
        if end is not None:
            return Refusal(RUN_ENDED, end.status)
        return Refusal(RUN_ENDED if signal.run in here.ended else UNKNOWN_RUN)


def _rows(run: OpenRun, question: WaitingQuestion) -> Iterator[Waiting]:
    """What of a run belongs on the page, one after the other: a run may wait for thousands of people."""
    state, flow = run.look(), run.plan.name
    last, behind = question.after
    if question.flow not in (None, flow):
        return
    for node_key, node, ask in asks(state, question.kind, question.name, behind if state.id == last else 0):
        if question.assignee is None or question.assignee in ask.assignees:
            schema = NULL if node.config.schema_ is None else encode(node.config.schema_)
            who, what = ask.assignees, ask.metadata
            yield Waiting(state.id, flow, node_key, ask.activation, ask.wait, ask.kind, ask.name, who, what, ask.due, schema)
