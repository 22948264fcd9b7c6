"""Events that are no runs yet: of which flows they wait, how many, and why, as the coordinators say it of themselves.

An acknowledged event of such a flow is neither a run nor a dead letter for now, and whoever asks for its run is told of none. The facts
may come from another version: what has another form than expected is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ...schemas.errors import JetfleetError
from ...schemas.messages import Member
from ..client import Connection
from ..fleet.membership import COORDINATOR
from ..fleet.roll_call import roll_call

UNSTARTED = "unstarted"
"""In a coordinator's facts: by flow, how many events it holds in memory, and why it starts none of them."""
REASONS = {
    "breaker": "its circuit breaker is open, for too many of its last runs failed",
    "max_concurrent_executions": "as many of its runs are open as max_concurrent_executions allows",
}


def unstarted(members: Iterable[Member]) -> Mapping[str, tuple[int, str]]:
    """By flow, how many events all coordinators together hold in memory, and why none begins."""
    found: dict[str, tuple[int, str]] = {}
    for member in members:
        facts = member.facts.get(UNSTARTED)
        if member.role != COORDINATOR or not isinstance(facts, dict):
            continue
        for flow, told in facts.items():
            match told:
                case [int(count), str(reason)] if reason in REASONS:
                    found[flow] = (found.get(flow, (0, ""))[0] + count, reason)
    return found


async def why_not_begun(connection: Connection, run: str) -> str:
    """Why there may be no run of that id yet, in words that follow a semicolon; empty if nothing speaks for it, or nobody answers."""
    flow = run.rpartition("-")[0]
    try:
        waiting = unstarted(present.member for present in await roll_call(connection))
    except JetfleetError:
        return ""
    return f"events of flow {flow!r} wait to become runs: {REASONS[waiting[flow][1]]}" if flow in waiting else ""
