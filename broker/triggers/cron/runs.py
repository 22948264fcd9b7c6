"""Whether the run of an earlier time is still open, so that a trigger can keep its runs from overlapping.

Not "as far as anybody knows": an event that waits to become a run counts as open, and where nobody can tell, that is said.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from ....schemas import subjects
from ....schemas.messages import FAILURES, Ended, RunView
from ...api.client import Client
from ...client import BrokerError
from ...payloads.run_states import ANSWER_S, OPEN, OVER, UNKNOWN
from ...read_model.journal import ask_owner

_answers = msgspec.msgpack.Decoder(list[int])


class RunState(Enum):
    OPEN = "open"
    OVER = "over"
    UNSURE = "unsure"


async def state(client: Client, run: str, flow: str, trigger: str) -> RunState:
    """Of a run whose event is on disk. Raises BrokerError."""
    found = await ask_owner(client.connection, run, client.partitions)
    if isinstance(found, (RunView, Ended)):
        return RunState.OPEN if isinstance(found, RunView) else RunState.OVER
    first = await _of_owner(client, run)
    if first is not RunState.OVER or await _forgotten(client, run, flow, trigger):
        return first
    return RunState.OPEN


async def _forgotten(client: Client, run: str, flow: str, trigger: str) -> bool:
    """Whether a run that its owner does not know ended long ago; if not, it has not begun."""
    if await client.connection.streams.last(subjects.EVENTS, subjects.event(flow, trigger)) is not None:
        return False
    return await _of_owner(client, run) is RunState.OVER  # its event may have become a run between the two questions


async def _of_owner(client: Client, run: str) -> RunState:
    """As its owner sees it when it has read all that is on disk; one that it does not know is over."""
    subject = subjects.run_states(subjects.partition_of(run, client.partitions))
    try:
        reply = await client.connection.request(subject, msgspec.msgpack.encode([run]), timeout_s=ANSWER_S)
        (answer,) = _answers.decode(reply.data)
    except (BrokerError, *FAILURES):
        return RunState.UNSURE
    return {OPEN: RunState.OPEN, OVER: RunState.OVER, UNKNOWN: RunState.OVER}.get(answer, RunState.UNSURE)
