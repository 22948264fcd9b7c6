"""Limit questions: an owner's answers to which slots its runs still need, and to how the limits are that live in its partition.

Both are answered when everything in the WAL has been taken in: a slot that was just granted must not be taken for one that nobody needs,
and whoever has just taken the partition over would say that there are no limits. Limits at which nobody holds or waits are not told of.
"""

from __future__ import annotations

from itertools import islice

import msgspec

from ..client import Message
from ..engine import claims_slot
from ..engine.gate import WAITING, Entry, Gate, Holder
from ..limit_views import SHOWN_MAX, LimitsQuestion, LimitView, SlotView
from .answering import Answering
from .slot_audit import Claimed

_claimed = msgspec.msgpack.Decoder(list[Claimed])
_question = msgspec.msgpack.Decoder(LimitsQuestion)
_encode = msgspec.msgpack.Encoder().encode


class LimitQuestions(Answering):
    """Those of one partition."""

    def slots(self, message: Message) -> None:
        self._answer(self._tell_needed(message))

    def limits(self, message: Message) -> None:
        self._answer(self._tell_limits(message))

    async def _tell_needed(self, message: Message) -> None:
        claimed = _claimed.decode(message.data)
        if await self._ours():
            await message.respond(_encode([self._is_needed(*claim) for claim in claimed]))

    def _is_needed(self, run: str, activation: tuple[int | str, ...], attempt: int, limit: str) -> bool:
        found = self._partition.runs.get(run)
        return found is not None and claims_slot(found.look(), activation, attempt, limit)

    async def _tell_limits(self, message: Message) -> None:
        question = _question.decode(message.data)
        if not await self._ours():
            return
        if question.id:
            gate = self._partition.gates.get(question.id)
            found = [] if gate is None or not gate.entries else [_whole(gate)]
        else:
            gates = [gate for gate in self._partition.gates if gate.entries and gate.id.startswith(question.prefix)]
            gates.sort(key=lambda gate: (-gate.waiting, gate.id))
            found = [_brief(gate) for gate in gates[:SHOWN_MAX]]
        await message.respond(_encode(found))


def _brief(gate: Gate) -> LimitView:
    return LimitView(gate.id, gate.most, gate.rate, len(gate.entries) if gate.rate else gate.held, gate.waiting)


def _whole(gate: Gate) -> LimitView:
    holders = islice(((holder, entry) for holder, entry in gate.entries.items() if entry.state != WAITING), SHOWN_MAX)
    brief, line = _brief(gate), islice(gate.in_line(), SHOWN_MAX)
    return msgspec.structs.replace(brief, holders=[_slot(*each) for each in holders], line=[_slot(*each) for each in line])


def _slot(holder: Holder, entry: Entry) -> SlotView:
    return SlotView(*holder, entry.since, entry.priority, entry.fair, entry.not_before)
