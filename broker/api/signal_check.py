"""Signal check: whether runs would take signals, asked of their owners for all that are sent at the same time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from ...schemas.records import SignalReceived
from ..client import BrokerError, Connection
from ..waiting import REJECTED, RUN_ENDED, Refusal, SignalRejected, refusals
from .errors import RunEnded

OWNER_S = 1.0
"""How long an owner is waited for; without an answer the engine has to say no."""
AT_A_TIME = 500


class SignalCheck:
    """One per client. While one question is under way, the signals that come wait for the next."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self._connection, self._partitions = connection, partitions
        self._come: list[tuple[SignalReceived, asyncio.Future[Refusal | BrokerError]]] = []
        self._asking: asyncio.Task[None] | None = None

    async def check(self, signal: SignalReceived) -> None:
        """Raises RunEnded and SignalRejected, if the owner of the run says so."""
        answer: asyncio.Future[Refusal | BrokerError] = asyncio.get_running_loop().create_future()
        self._come.append((signal, answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.get_running_loop().create_task(self._ask())
        found = await answer
        if isinstance(found, BrokerError):
            return
        if found.state == REJECTED:
            raise SignalRejected(signal.run, found.why)
        if found.state == RUN_ENDED:
            raise RunEnded(signal.run, found.why or "ended")

    async def _ask(self) -> None:
        while self._come:
            asked, self._come = self._come[:AT_A_TIME], self._come[AT_A_TIME:]
            signals = [signal for signal, _ in asked]
            answers = await refusals(self._connection, self._partitions, signals, patience_s=OWNER_S)
            for (_, future), answer in zip(asked, answers, strict=True):
                with suppress(asyncio.InvalidStateError):  # who asked was cancelled
                    future.set_result(answer)
