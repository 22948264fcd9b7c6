"""The ids that a stream remembers, for as long as its `duplicate_window`; a server that starts anew knows those of the messages it has."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .prepared import ID
from .stored import Stored, fields
from .timing import ServerClock


class Ids:
    def __init__(self, clock: ServerClock, window_ns: int) -> None:
        self._clock = clock
        self.window_ns = window_ns
        self._known: dict[bytes, tuple[int, int]] = {}
        self._in_order: deque[tuple[int, bytes]] = deque()

    def known(self, id: bytes | None) -> int:
        """The sequence of the message that was stored with this id lately; 0: there is none."""
        if id is None or id not in self._known:
            return 0
        self._forget()
        return self._known.get(id, (0, 0))[0]

    def remember(self, id: bytes | None, message: Stored) -> None:
        if id is not None and self.window_ns:
            self._known[id] = (message.seq, message.time_ns)
            self._in_order.append((message.time_ns, id))

    def recover(self, messages: Iterable[Stored]) -> None:
        self._known.clear()
        self._in_order.clear()
        for message in messages:
            self.remember(fields(message.headers).get(ID), message)

    def _forget(self) -> None:
        oldest_ns = self._clock.wall_ns() - self.window_ns
        while self._in_order and self._in_order[0][0] < oldest_ns:
            at_ns, id = self._in_order.popleft()
            if self._known.get(id, (0, 0))[1] == at_ns:
                del self._known[id]
