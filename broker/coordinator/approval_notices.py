"""Approval notices: what a program is told that asks people, when a run begins to wait for one of them.

JSON on `approval.<flow>`, kept in the stream APPROVALS. At least once, with the same `Nats-Msg-Id` each time: the effects of a record
count as acknowledged only when its notices are on disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ...schemas.effects import Await
from ...schemas.errors import UnreadablePayload
from ...schemas.payload import decode
from .acknowledged import Ticket
from .open_run import OpenRun

if TYPE_CHECKING:
    from .partition import Partition


def announce(home: Partition, run: OpenRun, ask: Await, ticket: Ticket) -> None:
    """Publish the notice of an approval that a run has begun to wait for."""
    node = run.run.plan.nodes[int(ask.activation[0])]
    id = f"{ask.run}/{ask.wait}"
    token = home.around.tokens.sign(ask.run, ask.activation, ask.wait)
    said: dict[str, Any] = {"run": ask.run, "flow": run.plan.name, "node": node.id, "hook": ask.name, "assignees": ask.assignees}
    said |= {"metadata": _value(ask.metadata), "due": ask.due, "token": token}
    if node.config.schema_ is not None:
        said["schema"] = node.config.schema_
    home.outbox.announce(run.plan.name, _json(said), id, ticket)


def _json(said: dict[str, Any]) -> bytes:
    """What of the metadata has no form in JSON (a map with odd keys, say) keeps nobody from being asked."""
    try:
        return msgspec.json.encode(said, enc_hook=str)
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError):
        return msgspec.json.encode(said | {"metadata": None})


def _value(metadata: bytes) -> Any:
    try:
        return decode(metadata)
    except UnreadablePayload:
        return None
