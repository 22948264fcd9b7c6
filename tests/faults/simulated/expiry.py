"""Messages that go by themselves when their `Nats-TTL` is over."""

from __future__ import annotations

import asyncio
import heapq
import re
from typing import TYPE_CHECKING

from . import refusals
from .prepared import TTL
from .stored import Stored, fields

if TYPE_CHECKING:
    from .streams import Stream

_PART = re.compile(rb"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)")
_UNITS_S = {b"ns": 1e-9, b"us": 1e-6, b"ms": 1e-3, b"s": 1, b"m": 60, b"h": 3_600}
_LEAST_S = 0.25
"""The server does not look more often."""


def ttl_s(value: bytes | None) -> int:
    """Whole seconds; 0: it stays for ever. Raises Refusal."""
    if not value or value == b"never":
        return 0
    if value.isdigit():
        return int(value)
    parts = _PART.findall(value)
    if b"".join(number + unit for number, unit in parts) != value:
        raise refusals.ttl_invalid()
    seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
    if seconds < 1:
        raise refusals.ttl_invalid()
    return int(seconds)


class Expiry:
    """Of one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._due: list[tuple[int, int]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0

    def add(self, message: Stored, lives_s: int) -> None:
        heapq.heappush(self._due, (message.time_ns + lives_s * 10**9, message.seq))
        self._set_timer()

    def recover(self) -> None:
        """Of a server that starts anew: from the messages."""
        self._due.clear()
        self._timer = None
        for message in self._stream.store.messages.values():
            lives_s = ttl_s(fields(message.headers).get(TTL))
            if lives_s:
                heapq.heappush(self._due, (message.time_ns + lives_s * 10**9, message.seq))
        self._set_timer()

    def _set_timer(self) -> None:
        if not self._due or (self._timer is not None and self._timer_ns <= self._due[0][0]):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = self._due[0][0]
        clock = self._stream.clock
        self._timer = clock.later(max((self._timer_ns - clock.wall_ns()) / 1e9, _LEAST_S), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_ns = self._stream.clock.wall_ns()
        while self._due and self._due[0][0] <= now_ns:
            self._stream.remove(heapq.heappop(self._due)[1])
        self._set_timer()
