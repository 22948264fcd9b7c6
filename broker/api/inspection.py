"""Looking at runs: what is open is asked of its owner, what has ended of the read model.

Neither is needed for a run to go on. Nobody answers while a partition changes hands, which is a moment, or where no coordinator or reader
is running, which the errors say.
"""

from __future__ import annotations

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord
from ...schemas.messages import RunView
from ..client import BrokerError, Connection
from .result import ENDS, Result

ANSWER_S = 2.0
"""How long an owner may take to answer."""


class Inspection:
    """What `Client` inherits. `partitions` is the number that was deployed."""

    def __init__(self, connection: Connection, partitions: int) -> None:
        self.connection = connection
        self.partitions = partitions

    async def outcome(self, run: str) -> Result | None:
        """How a run ended; None if it is open, or nobody can tell right now."""
        view = await self._ask_owner(run)
        if view is not None and view.status in ENDS:
            return Result(run, view.status, view.output, view.error, view.ended_at or view.updated_at, view.started_at)
        return None

    async def _ask_owner(self, run: str) -> RunView | None:
        """What the owner of the run's partition holds of it; None if it does not know the run, or does not answer."""
        subject = subjects.run(subjects.partition_of(run, self.partitions))
        try:
            answer = await self.connection.request(subject, run.encode(), timeout_s=ANSWER_S)
            return messages.decode(RunView, answer.data) if answer.data else None
        except (BrokerError, UnreadableRecord):
            return None
