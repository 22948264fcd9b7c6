"""Message schedules: a message with `Nats-Schedule: @at <time>` waits, and at its time a copy of it is published to its target.

There is one per subject: a new one takes the place of the old. The copy takes the schedule away in the write in which it is stored, so a
schedule fires once, unless the server dies between two that are due at once; then the second fires when it is back.
"""

from __future__ import annotations

import asyncio
import heapq
import re
from datetime import datetime
from typing import TYPE_CHECKING

from . import refusals
from .prepared import SCHEDULE, SCHEDULER, TARGET, Prepared
from .stored import Stored, fields, with_fields, without_fields
from .subjects import is_literal, overlap

if TYPE_CHECKING:
    from .streams import Stream

_LEAST_S = 0.25
"""The server does not fire more often."""
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")
_NOT_COPIED = (b"Nats-Schedule", b"Nats-Expected-", b"Nats-Msg-Id:", b"Nats-TTL:", b"Nats-Rollup:")


def check_schedule(stream: Stream, message: Prepared) -> None:
    """Write into a message with a schedule when it is due, and that it takes the place of others on its subject. Raises Refusal."""
    pattern = message.asks.get(SCHEDULE)
    if not pattern:
        return
    if not stream.config["allow_msg_schedules"]:
        raise refusals.schedules_disabled()
    message.due_ns = due_ns(pattern.decode())
    target = message.asks.get(TARGET, b"").decode()
    taken = target and target != message.subject and is_literal(target)
    if not taken or not any(overlap(each, target) for each in stream.config["subjects"]):
        raise refusals.target_invalid()
    if message.rollup not in (b"", b"sub"):
        raise refusals.schedule_rollup_invalid()
    if not message.rollup:
        message.headers = with_fields(message.headers, {"Nats-Rollup": "sub"})
        message.rollup = b"sub"


def due_ns(pattern: str) -> int:
    """Of `@at <time>`; what else the server knows is not simulated. Raises Refusal."""
    found = _RFC3339.fullmatch(pattern.removeprefix("@at ")) if pattern.startswith("@at ") else None
    if found is None:
        raise refusals.schedule_invalid()
    try:
        whole = datetime.fromisoformat(pattern[4:23] + found[2].replace("Z", "+00:00"))
    except ValueError:
        raise refusals.schedule_invalid() from None
    return int(whole.timestamp()) * 10**9 + int((found[1] or "0").ljust(9, "0"))


class Schedules:
    """Of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._waiting: dict[str, tuple[int, int]] = {}
        self._due: list[tuple[int, int, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._fires_s = 0.0

    def stored(self, message: Stored, due_ns: int, copies: bool) -> None:
        """`copies`: it was written for a schedule."""
        if due_ns:
            self._add(message, due_ns)
            self._set_timer()
        elif not copies:
            self._waiting.pop(message.subject, None)

    def removed(self, message: Stored) -> None:
        if self._waiting.get(message.subject, (0, 0))[0] == message.seq:
            del self._waiting[message.subject]

    def recover(self) -> None:
        """Of a server that starts anew: from the messages."""
        self._waiting.clear()
        self._due.clear()
        self._timer = None
        for message in self._stream.store.messages.values():
            pattern = fields(message.headers).get(SCHEDULE)
            if pattern:
                self._add(message, due_ns(pattern.decode()))
        self._set_timer()

    def _add(self, message: Stored, due_ns: int) -> None:
        self._waiting[message.subject] = (message.seq, due_ns)
        heapq.heappush(self._due, (due_ns, message.seq, message.subject))

    def _set_timer(self) -> None:
        while self._due and self._waiting.get(self._due[0][2], (0, 0))[0] != self._due[0][1]:
            heapq.heappop(self._due)
        if not self._due:
            return
        clock = self._stream.clock
        delay_s = max((self._due[0][0] - clock.wall_ns()) / 1e9, _LEAST_S)
        if self._timer is not None:
            if self._fires_s <= clock.now_s() + delay_s:
                return
            self._timer.cancel()
        self._fires_s = clock.now_s() + delay_s
        self._timer = clock.later(delay_s, self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_ns = self._stream.clock.wall_ns()
        due: list[tuple[int, str]] = []
        while self._due and self._due[0][0] <= now_ns:
            _, seq, subject = heapq.heappop(self._due)
            if self._waiting.get(subject, (0, 0))[0] == seq:
                due.append((seq, subject))
        for seq, subject in sorted(due):
            message = self._stream.store.messages.get(seq)
            if message is not None:
                self._stream.fire(*_copy(message, subject))
        self._set_timer()


def _copy(message: Stored, scheduler: str) -> tuple[str, bytes, bytes]:
    """What is published: subject, headers, data."""
    kept = without_fields(message.headers, _NOT_COPIED)
    headers = with_fields(kept, {SCHEDULER.decode(): scheduler, "Nats-Schedule-Next": "purge"})
    return fields(message.headers)[TARGET].decode(), headers, message.data
