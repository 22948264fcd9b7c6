"""Looking at runs: what is open is asked of its owner, what has ended of the read model.

Neither is needed for a run to go on. Nobody answers while a partition changes hands, which is a moment, or where no coordinator or reader
is running, which the errors say.
"""

from __future__ import annotations

import msgspec

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Ended, RunView
from ...schemas.payload import NULL
from ..client import BrokerError, Connection
from .result import Result

ANSWER_S = 2.0
"""How long an owner may take to answer."""
_NIL = msgspec.msgpack.encode(None)


class Inspection:
    """What `Client` inherits. `partitions` is the number that was deployed."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self.connection = connection
        self.partitions = partitions

    async def look(self, run: str) -> RunView | None:
        """An open run as its owner sees it right now; None if it is not open, or nobody answers."""
        found = await self._ask_owner(run)
        return found if isinstance(found, RunView) else None

    async def outcome(self, run: str) -> Result | None:
        """How a run ended; None if it is open, or nobody can tell right now."""
        found = await self._ask_owner(run)
        if isinstance(found, Ended) and (found.output is not None or found.status != "completed"):
            return ended(found)
        return None

    async def _ask_owner(self, run: str) -> RunView | Ended | None:
        """What the owner of the run's partition knows of it; None if that is nothing, or it does not answer."""
        subject = subjects.run(subjects.partition_of(run, self.partitions))
        try:
            answer = await self.connection.request(subject, msgspec.msgpack.encode((run,)), timeout_s=ANSWER_S)
            return _read(answer.data)
        except (BrokerError, UnreadableRecord):
            return None


def ended(notice: Ended) -> Result:
    """The result that a notice tells of."""
    return Result(notice.run, notice.status, NULL if notice.output is None else notice.output, notice.error, notice.ended_at)


def _read(data: bytes) -> RunView | Ended | None:
    if data == _NIL:
        return None
    try:
        return messages.decode(RunView, data)
    except UnreadableRecord:
        return messages.decode(Ended, data)  # it has fewer fields than any view
