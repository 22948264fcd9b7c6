"""The handle of an event that becomes a run together with others: `settings.debounce`, `settings.batch`.

Which run that is is known as soon as the event has been taken, by the owner of its collector: the client works out who that is, as intake
does, and asks. It follows that nobody can tell while no coordinator takes events of the flow; the handle then waits.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from ...schemas import subjects
from ...schemas.messages import FAILURES, BatchedEvent
from ...schemas.plan.collecting import key_of
from ...schemas.plan.plan import Plan
from ...schemas.records import RunStarted
from ..client import BrokerError, Connection
from .endings import Ending
from .errors import CollectionForgotten, NotEnded
from .handle import RunHandle
from .result import Result

if TYPE_CHECKING:
    from .client import Client

ANSWERS_S = 2.0
ASK_FIRST_S, ASK_GROWTH, ASK_LAST_S = 0.02, 1.5, 2.0


class CollectedHandle(RunHandle):
    """`id` is the run that the event alone would have been: of the run itself if the event is the first of several, else of none.

    `result` follows to the run that the event becomes a part of. Whoever wants to look at that one, or steer it, asks for it: `joined`.
    """

    __slots__ = ("_collector",)

    def __init__(self, client: Client, ending: Ending, held: str, collector: str) -> None:
        super().__init__(client, ending, held)
        self._collector = collector

    def __repr__(self) -> str:
        return f"CollectedHandle({self.id!r})"

    async def joined(self, timeout_s: float | None = None) -> RunHandle:
        """The handle of the run that the event is, or will be, a part of. That run may not have begun yet.

        Raises NotEnded after `timeout_s` seconds, CollectionForgotten.
        """
        try:
            async with asyncio.timeout(timeout_s):
                return await self._client.handle(await self._asked())
        except TimeoutError:
            raise NotEnded(self.id, timeout_s or 0) from None

    async def result(self, timeout_s: float | None = None, *, fetch: bool = True) -> Result:
        """How the run ended that the event became a part of. Raises as `RunHandle.result`, and CollectionForgotten."""
        try:
            async with asyncio.timeout(timeout_s):
                return await (await self.joined()).result(fetch=fetch)
        except TimeoutError:
            raise NotEnded(self.id, timeout_s or 0) from None

    async def _asked(self) -> str:
        after_s = ASK_FIRST_S
        while True:
            run = await ask_joined(self._client.connection, self._client.partitions, self._collector, self.id)
            if run:
                return run
            if run is not None:
                raise CollectionForgotten(self.id)
            await asyncio.sleep(after_s)
            after_s = min(after_s * ASK_GROWTH, ASK_LAST_S)


def collector_of(plan: Plan, trigger: str | None, event: BatchedEvent) -> str:
    """The id of the collector that intake will give the event to. Raises EventRejected for a key that it would refuse."""
    run = subjects.run_id(plan.name, event.key)
    alone = RunStarted(run, 0, plan.name, plan.digest, trigger, event.payload, event.meta)
    return subjects.collector(plan.name, key_of(plan, alone))


async def ask_joined(connection: Connection, partitions: int, collector: str, event: str) -> str | None:
    """The run that an event has become a part of; "": it has, and nobody knows of which; None: not yet, or nobody answers."""
    subject = subjects.joined(subjects.partition_of(collector, partitions))
    try:
        answer = await connection.request(subject, msgspec.msgpack.encode([collector, event]), timeout_s=ANSWERS_S)
        return msgspec.msgpack.decode(answer.data, type=str | None)
    except (BrokerError, *FAILURES):
        return None
