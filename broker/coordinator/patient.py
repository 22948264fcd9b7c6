"""Publishing single messages that must not be lost: what does not work for now (a full stream, no answer, no leave) is waited for.

Batchers do the same for batches. What the server refuses for good is logged and given up: it would be refused for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from secrets import token_hex

import structlog

from ...schemas.errors import JetfleetError
from ..client import WAITED_FOR, BrokerError, Connection, ConnectionClosed

BACKOFF_S, BACKOFF_MAX_S = 0.1, 5.0

log = structlog.get_logger("jetfleet.coordinator")


class PatientPublisher:
    """Each message in a task of its own, under one id however often it is sent. `blocked_by`: why something is not stored yet."""

    def __init__(self, connection: Connection) -> None:
        self.blocked_by: BrokerError | None = None
        self._connection = connection
        self._tasks: set[asyncio.Task[None]] = set()

    def publish(
        self, subject: str, payload: bytes, settled: Callable[[], None], *, id: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        """Store a message, some time; `settled` is called when it is stored, or refused for good."""
        work = self._publish(subject, payload, settled, id or token_hex(11), headers)
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _publish(self, subject: str, payload: bytes, settled: Callable[[], None], id: str, headers: Mapping[str, str] | None) -> None:
        backoff_s = BACKOFF_S
        while True:
            try:
                await self._connection.publisher.publish(subject, payload, id=id, headers=headers)
                self.blocked_by = None
                break
            except ConnectionClosed:
                return
            except WAITED_FOR as error:
                self.blocked_by = error
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_MAX_S)
            except (JetfleetError, ValueError) as error:
                log.error("a message was refused for good and is given up", subject=subject, id=id, reason=str(error))
                break
        settled()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
