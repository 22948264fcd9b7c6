"""The state of a flow: running, paused or draining, as somebody has decided it. It stands in `flow.<name>.state`, a FlowState.

    running     events become runs
    paused      they wait; open runs go on, or are paused as well (`runs`)
    draining    they wait; what is still open at `cancel_at` is cancelled, at `kill_at` killed. With nothing open the flow is drained

A version can be drained by itself: its runs get the same two times, and new ones never begin with it, since it is not current.

Every change is made by compare-and-set, outlives restarts and deployments, and says everything that there is to know: who does what
it asks (coordinator/flow_keeping.py) needs no other memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ..schemas import messages, subjects
from ..schemas.errors import UnreadableRecord
from ..schemas.messages import DRAINING, PAUSED, RUNNING, Drain, FlowState
from .client import Connection, WrongSequence

Change: TypeAlias = Callable[[FlowState], FlowState]


async def change(connection: Connection, flow: str, how: Change) -> tuple[FlowState, int]:
    """Change the state of a flow; the one that it has now, with the sequence of the message that says so (0: nothing was ever decided).

    `how` is asked again if somebody else came in between; what it raises changes nothing. Raises BrokerError.
    """
    while True:
        before, seq = await read(connection, flow)
        now = how(before)
        if now == before:
            return before, seq
        try:
            ack = await connection.publisher.publish(subjects.flow_state(flow), messages.encode(now), expect_last_subject_seq=seq)
        except WrongSequence:
            continue
        return now, ack.seq


async def read(connection: Connection, flow: str) -> tuple[FlowState, int]:
    """The state as it is on the server right now. Raises BrokerError."""
    stored = await connection.streams.last(subjects.FLOWS, subjects.flow_state(flow))
    if stored is None:
        return FlowState(flow, RUNNING), 0
    try:
        return messages.decode(FlowState, stored.data), stored.seq
    except UnreadableRecord:
        return FlowState(flow, RUNNING), stored.seq  # nobody follows it either


def holds_runs(state: FlowState) -> bool:
    """Whether the open runs of the flow are paused with it."""
    return state.state == PAUSED and state.runs


def paused(before: FlowState, now_ms: int, reason: str, runs: bool) -> FlowState:
    """Paused instead of draining ends the drain: the open runs have all the time again."""
    if before.state == PAUSED and before.runs == runs:
        return before
    since = now_ms if runs else before.runs_at
    return msgspec.structs.replace(before, state=PAUSED, reason=reason, at=now_ms, runs=runs, runs_at=since, drain=None)


def resumed(before: FlowState, now_ms: int, reason: str) -> FlowState:
    if before.state == RUNNING:
        return before
    return msgspec.structs.replace(before, state=RUNNING, reason=reason, at=now_ms, runs=False, drain=None)


def draining(before: FlowState, drain: Drain) -> FlowState:
    """Runs that were paused with the flow go on: they are to come to their ends. A drain in place of another one has its own times."""
    return msgspec.structs.replace(before, state=DRAINING, reason=drain.reason, at=drain.since, runs=False, drain=drain)


def version_draining(before: FlowState, digest: str, drain: Drain | None) -> FlowState:
    """`drain` None: the version is drained no more."""
    versions = {known: each for known, each in before.versions.items() if known != digest}
    return msgspec.structs.replace(before, versions=versions if drain is None else versions | {digest: drain})
