"""Few at a time: single messages that must not be lost, of which thousands may come at once.

The patient publisher keeps a task for each message that is on its way; a flood of them would hold up the loop, and with it the heartbeat
by which a coordinator keeps its partitions. Here the rest waits in a row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .patient import PatientPublisher

UNDER_WAY_MAX = 64


class FewAtATime:
    """Each message is published in its turn; `settled` is called when it is stored."""

    def __init__(self, publisher: PatientPublisher) -> None:
        self._publisher = publisher
        self._waiting: deque[tuple[str, bytes, str, Callable[[], None]]] = deque()
        self._under_way = 0

    def publish(self, subject: str, payload: bytes, id: str, settled: Callable[[], None]) -> None:
        self._waiting.append((subject, payload, id, settled))
        if self._under_way < UNDER_WAY_MAX:
            self._send()

    def drop(self) -> None:
        """Forget what has not left: its publisher is about to close."""
        self._waiting.clear()

    def _send(self) -> None:
        subject, payload, id, settled = self._waiting.popleft()
        self._under_way += 1

        def stored() -> None:
            self._under_way -= 1
            settled()
            if self._waiting:
                self._send()

        self._publisher.publish(subject, payload, stored, id=id)
