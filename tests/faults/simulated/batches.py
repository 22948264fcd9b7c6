"""Atomic batches: messages that are laid down until the last one commits them, and are stored together or not at all.

A batch that is not committed within `TIMEOUT_S` of its last message is forgotten, and so is every batch when the server dies.
"""

from __future__ import annotations

from . import refusals
from .prepared import BATCH, COMMIT, NUMBER, Prepared

TIMEOUT_S = 10.0
MESSAGES_MAX, OPEN_MAX = 1_000, 50


class _Batch:
    def __init__(self) -> None:
        self.messages: list[Prepared] = []
        self.touched_s = 0.0


class Batches:
    """Of one stream."""

    def __init__(self) -> None:
        self._open: dict[bytes, _Batch] = {}

    def clear(self) -> None:
        self._open.clear()

    def take(self, message: Prepared, now_s: float) -> list[Prepared]:
        """The whole batch if this message commits it, else nothing. Raises Refusal."""
        self._forget(now_s)
        id, number = message.asks[BATCH], message.expects(NUMBER)
        if number is None:
            raise refusals.batch_without_sequence()
        batch = self._open.get(id)
        if batch is None:
            batch = self._begin(id, number)
        if number != len(batch.messages) + 1:
            del self._open[id]
            raise refusals.batch_incomplete()
        if number > MESSAGES_MAX:
            del self._open[id]
            raise refusals.batch_too_large(MESSAGES_MAX)
        batch.messages.append(message)
        batch.touched_s = now_s
        if COMMIT not in message.asks:
            return []
        del self._open[id]
        return batch.messages

    def _begin(self, id: bytes, number: int) -> _Batch:
        if number > MESSAGES_MAX:
            raise refusals.batch_too_large(MESSAGES_MAX)
        if number != 1:
            raise refusals.batch_incomplete()
        if len(self._open) >= OPEN_MAX:
            raise refusals.too_many_batches()
        batch = self._open[id] = _Batch()
        return batch

    def _forget(self, now_s: float) -> None:
        for id in [id for id, batch in self._open.items() if batch.touched_s <= now_s - TIMEOUT_S]:
            del self._open[id]
