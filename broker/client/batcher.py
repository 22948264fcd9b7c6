"""The batcher: group commit for one subject.

Entries that are put while publishes are in flight leave together in the next one, so a lone entry leaves at once and a flood leaves in
large messages. Every entry is settled exactly once, in the order of `put`: its receipt is told that it is stored, or why it is not.

A patient batcher never gives up on what may work later, once there is room, or this user may publish there: it says in `blocked_by` what
holds it up. Batches are sent in order, and sent again in order after a cut; only where the server refuses one and takes the next (its
disk had room again) is their order another.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Protocol

import structlog

from ...schemas import messages
from .errors import BrokerError, ConnectionClosed, Denied, StreamFull, Unknown, too_large
from .publisher import PubAck, Publisher

_HEAD_BYTES = 512
"""What a message has besides its entries: the header of the array, the message id, other headers."""
_ATTEMPT_S = 5.0
WAITED_FOR = (Unknown, StreamFull, Denied)
"""What is waited for where nothing may be lost. A user's permissions too are a file that somebody mends."""
_BACKOFF_S, _BACKOFF_MAX_S = 0.05, 2.0
_log = structlog.get_logger(__name__)


class Receipt(Protocol):
    """Who wants to know what became of entries."""

    def settled(self, count: int, error: BrokerError | None) -> None:
        """So many of its entries, which were put one after the other, are stored (`error` None) or are not."""


class _Batch:
    """Entries on their way. `id` is the same however often they are sent."""

    __slots__ = ("error", "future", "headers", "id", "payload", "receipts", "settled")

    def __init__(self, id: str, payload: bytes, receipts: list[Receipt], headers: Mapping[str, str] | None) -> None:
        self.id, self.payload, self.receipts, self.headers = id, payload, receipts, headers
        self.future: asyncio.Future[PubAck] | None = None
        self.settled = False
        self.error: BrokerError | None = None


class Batcher:
    """`entries_max`, `bytes_max`, `weight_max` (0: none) bound a message; `in_flight_max` how many are under way at a time."""

    def __init__(
        self,
        publisher: Publisher,
        subject: str,
        *,
        entries_max: int = 256,
        bytes_max: int = 512 * 1024,
        in_flight_max: int = 4,
        weight_max: int = 0,
        headers: Mapping[str, str] | None = None,
        patient: bool = True,
        gate: Callable[[], bool] | None = None,
    ) -> None:
        self.subject = subject
        self.gate = gate
        """Asked before a batch leaves; where it says no, everything stays here and it is asked again after a moment."""
        self.headers = headers
        """Of the batches that are cut from now on; a batch keeps its own however often it is sent."""
        self._publisher, self._patient = publisher, patient
        self._entries_max, self._bytes_max, self._weight_max = entries_max, bytes_max, weight_max
        self._in_flight_max = in_flight_max
        self._loop = asyncio.get_running_loop()
        self._entries: list[bytes] = []
        self._receipts: list[Receipt] = []
        self._weights: list[int] = []
        self._flushing = False
        self._batches: deque[_Batch] = deque()  # not settled yet, in order
        self._in_flight = 0
        self._refused: list[_Batch] = []
        self._backoff_s = _BACKOFF_S
        self._retry_timer: asyncio.TimerHandle | None = None
        self._blocked_by: BrokerError | None = None
        self._drained: list[asyncio.Future[None]] = []
        self._count = 0
        """Entries that were settled so far."""
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._closed = False

    @property
    def backlog(self) -> int:
        """Entries that are not settled."""
        return len(self._entries) + sum(len(batch.receipts) for batch in self._batches)

    @property
    def blocked_by(self) -> BrokerError | None:
        """Why nothing is stored at the moment; None: all is well, or nothing waits."""
        if self._blocked_by is None and (self._batches or self._entries) and not self._publisher.connection.is_connected:
            return Unknown(f"not connected to {self._publisher.connection.url}", maybe_done=False)
        return self._blocked_by

    def put(self, entry: bytes, receipt: Receipt, weight: int = 0) -> None:
        """Never blocks, never raises. The entry leaves in this turn of the loop, or when a publish in flight returns."""
        self._entries.append(entry)
        self._receipts.append(receipt)
        if self._weight_max:
            self._weights.append(weight)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    async def drained(self) -> None:
        """Wait until everything that was put is settled."""
        while self._entries or self._batches:
            waiting = self._loop.create_future()
            self._drained.append(waiting)
            await waiting

    async def so_far(self) -> None:
        """Wait until everything that was put before this call is settled, whatever is put meanwhile."""
        backlog = self.backlog
        if backlog:
            waiting = self._loop.create_future()
            self._waiting.append((self._count + backlog, waiting))
            await waiting

    async def close(self) -> None:
        """As `stop`; wait for `drained` first where it matters what becomes of the entries."""
        self.stop()

    def stop(self) -> None:
        """Nothing leaves any more, from this moment on. What is not acknowledged settles with ConnectionClosed."""
        self._closed = True
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        self._end_all(ConnectionClosed(f"closed before {self.subject!r} acknowledged a batch", maybe_done=True))
        self._flush()

    def recall(self) -> None:
        """What is under way is not waited for: it leaves again, as the same batches, when the gate is open."""
        for batch in self._batches:
            if batch.future is not None and not batch.settled and batch not in self._refused:
                self._recall(batch)
                self._refused.append(batch)
        if self._refused:
            self._look_again()

    def forget(self) -> None:
        """Nothing that was put so far leaves any more. It settles as if it were stored: whoever calls puts anew what is still wanted."""
        self._end_all(None)
        self._refused.clear()
        self._blocked_by = None
        self._settle()
        self._give_up(None)

    # --- cutting batches

    def _flush(self) -> None:
        self._flushing = False
        if self._closed:
            self._settle()
            self._give_up(ConnectionClosed(f"closed: nothing more is published to {self.subject!r}"))
            return
        while self._entries and self._in_flight < self._in_flight_max and not self._refused:
            if self.gate is not None and not self.gate():
                self._look_again()
                break
            batch = self._cut()
            self._batches.append(batch)
            self._in_flight += 1
            if batch.error is None:
                self._send(batch)
            else:
                self._finish(batch, batch.error)
        self._settle()

    def _give_up(self, error: BrokerError | None) -> None:
        """The entries that are in no batch yet."""
        receipts = self._receipts
        self._entries, self._receipts, self._weights = [], [], []
        self._count += len(receipts)
        _tell(receipts, error)
        self._settle()

    def _cut(self) -> _Batch:
        """The next batch, off the front of what waits."""
        room_bytes = self._publisher.connection.max_payload - _HEAD_BYTES
        entries = self._entries[: self._entries_max]
        count = _fitting([len(entry) for entry in entries], min(self._bytes_max, room_bytes))
        if self._weight_max:
            count = _fitting(self._weights[:count], self._weight_max)
            del self._weights[:count]
        del entries[count:]
        batch = _Batch(self._publisher.new_id(), messages.join(entries), self._receipts[:count], self.headers)
        del self._entries[:count], self._receipts[:count]
        if count == 1 and len(entries[0]) > room_bytes:
            batch.error = too_large(self.subject, len(entries[0]), room_bytes)
        return batch

    # --- sending and settling

    def _send(self, batch: _Batch) -> None:
        batch.future = self._publisher.submit(self.subject, batch.payload, id=batch.id, headers=batch.headers, deadline_s=_ATTEMPT_S)
        batch.future.add_done_callback(lambda future: self._returned(batch, future))

    def _returned(self, batch: _Batch, future: asyncio.Future[PubAck]) -> None:
        if batch.settled or batch.future is not future:
            return
        error = future.exception()
        if error is None:
            self._blocked_by, self._backoff_s = None, _BACKOFF_S
            self._finish(batch, None)
        elif self._patient and not self._closed and isinstance(error, WAITED_FOR):
            self._retry_later(batch, error)
            return
        else:
            self._finish(batch, error if isinstance(error, BrokerError) else Unknown(str(error)))
        self._flush()

    def _finish(self, batch: _Batch, error: BrokerError | None) -> None:
        batch.settled, batch.error, batch.payload = True, error, b""
        self._in_flight -= 1

    def _settle(self) -> None:
        """Tell the receipts, in order: a batch that is done waits for those before it."""
        while self._batches and self._batches[0].settled:
            batch = self._batches.popleft()
            self._count += len(batch.receipts)
            _tell(batch.receipts, batch.error)
        while self._waiting and self._waiting[0][0] <= self._count:
            _, waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_result(None)
        if self._drained and not self._entries and not self._batches:
            drained, self._drained = self._drained, []
            for waiting in drained:
                if not waiting.done():
                    waiting.set_result(None)

    def _end_all(self, error: BrokerError | None) -> None:
        for batch in self._batches:
            if not batch.settled:
                self._recall(batch)
                self._finish(batch, error)

    def _recall(self, batch: _Batch) -> None:
        future, batch.future = batch.future, None
        if future is not None:
            future.cancel()

    def _retry_later(self, batch: _Batch, error: BrokerError) -> None:
        self._blocked_by = error
        self._refused.append(batch)
        if self._retry_timer is None:
            self._retry_timer = self._loop.call_later(self._backoff_s, self._retry)
            self._backoff_s = min(2 * self._backoff_s, _BACKOFF_MAX_S)

    def _look_again(self) -> None:
        """The gate is closed."""
        if self._retry_timer is None:
            self._retry_timer = self._loop.call_later(_BACKOFF_S, self._retry)

    def _retry(self) -> None:
        """All that was refused, in order; nothing new leaves before."""
        self._retry_timer = None
        if self.gate is not None and not self.gate():
            self._look_again()
            return
        refused, self._refused = self._refused, []
        for batch in refused:
            self._send(batch)
        self._flush()


def _fitting(sizes: Sequence[int], limit: int) -> int:
    """How many from the front stay within the limit; at least one."""
    if sum(sizes) <= limit:
        return len(sizes)
    return max(1, bisect_right(list(accumulate(sizes)), limit))


def _tell(receipts: list[Receipt], error: BrokerError | None) -> None:
    """Consecutive entries of one receipt are one call."""
    start, count = 0, len(receipts)
    while start < count:
        receipt, end = receipts[start], start + 1
        while end < count and receipts[end] is receipt:
            end += 1
        try:
            receipt.settled(end - start, error)
        except Exception:  # one receipt's mistake must not leave the others waiting
            _log.exception("receipt_failed")
        start = end
