"""Run states: which runs are over, for those who free payloads: the arena's keeper and the object store's janitor.

Asked are the owners of the partitions. A run is over when its owner says that it has ended and is archived. Whatever is not certain counts
as not over: no answer, an answer that cannot be read, a partition that is being taken over.

A run that its owner does not know may have ended so long ago that it was forgotten, or may not have begun: the payload of an event is
written before its run. So such a run counts as over only after it has been unknown here for FORGOTTEN_AFTER_S, and not while an event of
its flow waits that is as old as that: of a paused trigger, of a flow that is full or not deployed.

Runs of sub-flows hand values up, and are handed values from above; a detached one outlives the run that started it. So no run of a family
is over before all of them are: every owner is asked about the run at its top.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.messages import FAILURES
from ..client import BrokerError, Connection

UNKNOWN, OPEN, OVER = 0, 1, 2
"""The answers of an owner."""
FORGOTTEN_AFTER_S = 6 * 3_600.0
"""Longer than an owner remembers a run after its end, and than an event may wait for room in EVENTS."""
PUBLISHED_AFTER_S = 5 * 3_600.0
"""No event is published later than this after its payload was written: who waits for room in a full EVENTS for longer loses the payload."""
BATCH = 1_000
ANSWER_S = 5.0
"""An owner answers when it has taken in its WAL up to now: under load that takes a while, and who frees payloads is in no hurry."""

_answers = msgspec.msgpack.Decoder(list[int])
_log = structlog.get_logger(__name__)


class RunStates:
    """`clock` gives monotonic seconds, `wall` those since the epoch. One per process that frees payloads: it remembers since when runs
    have been unknown.
    """

    def __init__(
        self,
        connection: Connection,
        partitions: int,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._partitions = partitions
        self._clock = clock
        self._wall = wall
        self._unknown: dict[str, tuple[float, float]] = {}
        """By run: since when it has been unknown, and when that was seen last."""

    async def over(self, runs: Iterable[str]) -> set[str]:
        """Those of the runs that are over: nothing will ask for their payloads any more. Raises nothing for a broker that is away."""
        asked = set(runs)
        states = await self._of_owners(asked)
        forgotten = self._forgotten(asked, states)
        ended = {run for run in asked if states.get(run) == OVER} | forgotten - await self._not_begun(forgotten)
        for _ in range(
            2
        ):  # between two answers a member that is seen open in neither place may have started one; the second time that shows
            ended -= await self._in_open_families(ended)
        return ended

    async def _of_owners(self, runs: set[str]) -> dict[str, int]:
        """What the owner of each run says; nothing of runs whose owner does not answer."""
        by_partition: defaultdict[int, list[str]] = defaultdict(list)
        for run in runs:
            by_partition[subjects.partition_of(run, self._partitions)].append(run)
        found: dict[str, int] = {}
        for answers in await asyncio.gather(*(self._ask(partition, asked) for partition, asked in by_partition.items())):
            found |= answers
        return found

    async def _in_open_families(self, runs: set[str]) -> set[str]:
        """Those with an open run in their family, as far as is known: where an owner does not answer, there may be one."""
        tops = sorted({family(run) for run in runs})
        answers = await asyncio.gather(*(self._ask(partition, tops) for partition in range(self._partitions))) if tops else []
        settled = {top for top in tops if all(answer.get(top, OPEN) != OPEN for answer in answers)}
        return {run for run in runs if family(run) not in settled}

    async def _ask(self, partition: int, runs: list[str]) -> dict[str, int]:
        found: dict[str, int] = {}
        for start in range(0, len(runs), BATCH):
            batch = runs[start : start + BATCH]
            try:
                reply = await self._connection.request(subjects.run_states(partition), msgspec.msgpack.encode(batch), timeout_s=ANSWER_S)
                answers = _answers.decode(reply.data)
            except (BrokerError, *FAILURES) as error:
                _log.debug("nobody says which runs are over", partition=partition, reason=str(error))
                return found
            if len(answers) == len(batch):
                found |= dict(zip(batch, answers, strict=True))
        return found

    def _forgotten(self, asked: set[str], states: dict[str, int]) -> set[str]:
        """Runs that have been unknown for long enough. One that is seen to be known is not unknown any more."""
        now = self._clock()
        for run, state in states.items():
            if state != UNKNOWN:
                self._unknown.pop(run, None)
            elif run in asked:
                since, _ = self._unknown.get(run, (now, now))
                self._unknown[run] = (since, now)
        for run in [run for run, (_, seen) in self._unknown.items() if seen < now - FORGOTTEN_AFTER_S]:
            del self._unknown[run]  # nobody asks about it any more
        return {run for run in asked if states.get(run) == UNKNOWN and now - self._unknown[run][0] >= FORGOTTEN_AFTER_S}

    async def _not_begun(self, runs: set[str]) -> set[str]:
        """Those whose event may still wait, as far as is known."""
        by_flow: defaultdict[str, set[str]] = defaultdict(set)
        for run in runs:
            by_flow[family(run).rpartition("-")[0]].add(run)
        found: set[str] = set()
        ahead_s = self._wall() - self._clock()
        for flow, members in by_flow.items():
            oldest_at_s = await self._oldest_event(flow)
            found |= {run for run in members if oldest_at_s <= self._unknown[run][0] + ahead_s + PUBLISHED_AFTER_S}
        return found

    async def _oldest_event(self, flow: str) -> float:
        """When the oldest event of the flow was stored that is no run yet, s since the epoch; 0: nobody can tell, infinite: none waits."""
        try:
            all_of_it = (subjects.event(flow), subjects.event(flow, ">"))
            firsts = [await self._connection.streams.first(subjects.EVENTS, subject) for subject in all_of_it]
        except BrokerError as error:
            _log.debug("it is not known which events wait", flow=flow, reason=str(error))
            return 0.0
        return min((first.time_ns / 1e9 for first in firsts if first is not None), default=math.inf)


def family(run: str) -> str:
    """The id of the run at the top of the family: those of its sub-flows' runs begin with it and a dot."""
    return run.partition(".")[0]
