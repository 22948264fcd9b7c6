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
from ..client import BrokerError, Connection
from .acknowledged import Ticket
from .patient import PatientPublisher

DUE_MAX_MS = 253_402_300_799_000
"""The end of the year 9999, which is as far as a schedule can be written."""

log = structlog.get_logger("jetfleet.coordinator")


class FarTimers:
    """Sets and clears schedules; one for all partitions of a coordinator."""

    def __init__(self, connection: Connection, singles: PatientPublisher) -> None:
        self._connection, self._singles = connection, singles
        self._clearing: set[asyncio.Task[None]] = set()

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

    def clear(self, partition: int, effect: ClearTimer) -> None:
        """Remove a schedule, some time soon; one that fires all the same is ignored by its run."""
        task = asyncio.get_running_loop().create_task(self._clear(partition, effect))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear(self, partition: int, effect: ClearTimer) -> None:
        try:
            await self._connection.streams.purge(subjects.TIMERS, subject=subjects.timer(partition, _name(effect.run, effect.timer)))
        except BrokerError as error:
            log.debug("a schedule could not be removed", run=effect.run, error=str(error))


def _name(run: str, timer: TimerId) -> str:
    return f"{run} {timer.activation} {timer.purpose} {timer.attempt}"
