"""Far timers: schedules on the server that fire into `fired.<partition>`, from where intake moves them into the WAL.

One subject per timer, so setting one again replaces it. They survive the restart of everything.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import structlog

from ...schemas import subjects
from ...schemas.codec import encode_batch
from ...schemas.effects import ClearTimer, SetTimer
from ...schemas.records import TimerFired, TimerId
from ..client import BrokerError, Connection, ConnectionClosed, Unknown
from .acknowledged import Ticket
from .patient import PatientPublisher

DUE_MAX_MS = 253_402_300_799_000
"""The end of the year 9999, which is as far as a schedule can be written."""

CLEARED_AT_ONCE = 64
AGAIN_S = 0.5

log = structlog.get_logger("jetfleet.coordinator")


class FarTimers:
    """Sets and clears schedules; one for all partitions of a coordinator."""

    def __init__(self, connection: Connection, singles: PatientPublisher) -> None:
        self._connection, self._singles = connection, singles
        self._clearing: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(CLEARED_AT_ONCE)

    def set(self, partition: int, effect: SetTimer, ticket: Ticket) -> None:
        """Schedule a TimerFired record for `effect.due`. Counts towards the ticket until the schedule is on disk."""
        headers = {
            "Nats-Schedule": f"@at {datetime.fromtimestamp(min(effect.due, DUE_MAX_MS) / 1_000, UTC).isoformat().replace('+00:00', 'Z')}",
            "Nats-Schedule-Target": subjects.fired(partition),
        }
        payload = encode_batch([TimerFired(effect.run, effect.due, effect.timer)])
        ticket.pending += 1
        subject = subjects.timer(partition, _name(effect.run, effect.timer))
        self._singles.publish(subject, payload, lambda: ticket.settled(1, None), headers=headers)

    def clear(self, partition: int, effect: ClearTimer, ticket: Ticket) -> None:
        """Remove a schedule. Counts towards the ticket until it is gone, so that it does not outlive a coordinator that dies meanwhile.

        One that fires all the same is ignored by its run.
        """
        ticket.pending += 1
        task = asyncio.get_running_loop().create_task(self._clear(subjects.timer(partition, _name(effect.run, effect.timer)), ticket))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear(self, subject: str, ticket: Ticket) -> None:
        while True:
            try:
                async with self._turns:
                    await self._connection.streams.purge(subjects.TIMERS, subject=subject)
            except ConnectionClosed:
                return  # the next owner removes it
            except Unknown:
                await asyncio.sleep(AGAIN_S)
                continue
            except BrokerError as error:
                log.warning("a schedule cannot be removed; it will fire and be ignored", subject=subject, reason=str(error))
            ticket.settled(1, None)
            return


def _name(run: str, timer: TimerId) -> str:
    return f"{run} {timer.activation} {timer.purpose} {timer.attempt}"
