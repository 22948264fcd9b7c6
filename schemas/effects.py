"""Effects: what the engine wants done. The closed set of everything a run can ask of the world.

An effect is derived from records, so it is never logged, and doing it twice must be harmless: each has a key made of
(run, activation, attempt) by which its receiver tells a repetition. On the wire: a msgpack array `[kind, run, …]`.

     1 Dispatch      have a worker execute an attempt
     2 CancelTask    the attempt is no longer wanted
     3 SetTimer      a TimerFired record, not before `due`
     4 ClearTimer    that timer is no longer wanted
     5 Await         the run now waits for a signal or an event (for lists of pending approvals and for routing)
     6 StopAwaiting  it no longer does
     7 StartChild    start a sub-flow
     8 CancelChild   cancel it
     9 Emit          publish an event
    10 FinishRun     the run reached its terminal state
    11 WantSlot      ask a limit for a slot: answered by a SlotGranted record
    12 ReleaseSlot   the slot is no longer needed, or no longer waited for
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from .payload import NULL, Payload
from .records import Error, TimerId


class Dispatch(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """`input` is the node's value; `needs` are the payloads behind its selectors, in the order of `PlanNode.needs`."""

    run: str
    activation: tuple[int | str, ...]
    attempt: int
    input: Payload
    needs: tuple[Payload, ...] = ()


class CancelTask(msgspec.Struct, array_like=True, frozen=True, tag=2):
    run: str
    activation: tuple[int | str, ...]
    attempt: int


class SetTimer(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """`due` is wall time in milliseconds since the epoch."""

    run: str
    timer: TimerId
    due: int


class ClearTimer(msgspec.Struct, array_like=True, frozen=True, tag=4):
    run: str
    timer: TimerId


class Await(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """`kind` is `approval`, `signal` or `event`; `metadata` is what a person sees who has to decide, `assignees` are these people.

    `wait` numbers the run's waits from 1: by it an answer can name this one and no later one of the same node. `correlate`: of an event,
    paths in its payload with the texts that they must have.
    """

    run: str
    activation: tuple[int | str, ...]
    kind: str
    name: str
    metadata: Payload = NULL
    due: int | None = None
    assignees: tuple[str, ...] = ()
    wait: int = 0
    correlate: tuple[tuple[str, str], ...] = ()


class Outcome(msgspec.Struct, array_like=True, frozen=True):
    """How an approval was decided, by whom and when (ms since the epoch). `id` is that of the answer's record.

    `decision` is `approve`, `reject` or `escalate`; of a wait that ended by its time also `fail`.
    """

    decision: str
    at: int
    by: str = ""
    reason: str = ""
    timed_out: bool = False
    id: str = ""


class StopAwaiting(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """`outcome` is set for an approval that was decided, and not just called off. `correlate`: as in Await."""

    run: str
    activation: tuple[int | str, ...]
    kind: str
    name: str
    wait: int = 0
    outcome: Outcome | None = None
    correlate: tuple[tuple[str, str], ...] = ()


class StartChild(msgspec.Struct, array_like=True, frozen=True, tag=7):
    run: str
    activation: tuple[int | str, ...]
    attempt: int
    child: str
    flow: str
    version: str | None = None
    input: Payload = NULL
    detached: bool = False


class CancelChild(msgspec.Struct, array_like=True, frozen=True, tag=8):
    run: str
    child: str
    reason: str = ""
    kill: bool = False


class Emit(msgspec.Struct, array_like=True, frozen=True, tag=9):
    run: str
    activation: tuple[int | str, ...]
    subject: str
    payload: Payload
    id: str


class FinishRun(msgspec.Struct, array_like=True, frozen=True, tag=10):
    """`status` is `completed`, `failed`, `cancelled` or `killed`."""

    run: str
    status: str
    output: Payload = NULL
    error: Error | None = None


class WantSlot(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """`limit` is the limit's id; the rest is as in the record SlotWanted."""

    run: str
    activation: tuple[int | str, ...]
    attempt: int
    limit: str
    most: int
    on_limit: str = "queue"
    per_ms: int = 0
    burst: int = 0
    priority: int = 0
    fair: str = ""


class ReleaseSlot(msgspec.Struct, array_like=True, frozen=True, tag=12):
    run: str
    activation: tuple[int | str, ...]
    attempt: int
    limit: str


Effect: TypeAlias = (
    Dispatch
    | CancelTask
    | SetTimer
    | ClearTimer
    | Await
    | StopAwaiting
    | StartChild
    | CancelChild
    | Emit
    | FinishRun
    | WantSlot
    | ReleaseSlot
)
