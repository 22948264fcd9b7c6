"""Records: the entries of the write-ahead log, always inputs to the engine, never its decisions.

The set is closed and versioned. On the wire a record is a msgpack array `[kind, run, at, …]`; `kind` is the integer below and is
never reused. Fields are only ever appended, with a default, so that an older journal stays readable and a newer one
can be read up to the fields that are known.

    1 RunStarted        an event became a run
    2 Completion        an attempt ended: port and output, or an error
    3 TimerFired        a timer that the engine had set is due
    4 SignalReceived    a named signal, also the answer to an approval
    5 EventReceived     an event that waiting nodes may be correlated with
    6 ChildEnded        a sub-flow's run ended
    7 CancelRequested   stop the run (kill: without compensation)
    8 PauseRequested    start nothing new, hold timers
    9 ResumeRequested   go on
   10 (StepsDiscovered) reserved: the activations that a code-first flow asked for while its function replayed
   11 RunReopened       a run goes on from what is kept of its journal: a retry, a fork, an import
   12 SlotGranted       a limit lets an activation, or the whole run, go on; or refuses it
   13 SlotWanted        not of a run but of a limit: somebody asks for one of its slots
   14 SlotReleased      of a limit: a holder needs its slot no more, or somebody no longer waits for one
   15 EventCollected    of a collector: one more event for a run that is to begin with several
   16 CollectionStarted of a collector: the RunStarted of such a run is on disk

`at` is wall time in milliseconds since the epoch, set by whoever wrote the record: it is the engine's only clock.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import msgspec

from .limits import COUNT_MAX, DURATION_MS_MAX, MOMENT_MS_MAX
from .payload import NULL, Payload

Activation: TypeAlias = tuple[int | str, ...]
"""Which node in which scope: (node index, iteration of each enclosing loop or split, outermost first).

A step that a code-first flow discovers while it runs is addressed by its key as a last element of type str.
"""

Moment: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=MOMENT_MS_MAX)]
"""ms since the epoch. A record with another time is none: what is reckoned from it could be written nowhere."""
Milliseconds: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=DURATION_MS_MAX)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=COUNT_MAX)]


class Error(msgspec.Struct, array_like=True, frozen=True):
    """Why an attempt, a scope or a run failed. `type` is what policies and handlers match on."""

    type: str
    message: str
    retryable: bool = True
    node: str = ""
    attempts: int = 0
    details: Any = None

    def as_value(self) -> dict[str, Any]:
        """The value that an error edge, an `on_error` node or `${scope.error}` sees."""
        return {
            "type": self.type,
            "message": self.message,
            "retryable": self.retryable,
            "node": self.node,
            "attempts": self.attempts,
            "details": self.details,
        }


class TimerId(msgspec.Struct, array_like=True, frozen=True):
    """One timer of a run. `purpose` is one of `retry`, `wait`, `delay`, `scope`, `scope_retry`, `run`; of a collector `collect`.

    `attempt` is the attempt (of node or scope) that set it: a timer of an earlier attempt is stale.
    """

    activation: tuple[int | str, ...]
    purpose: str
    attempt: int


class RunStarted(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """`parent`: run and activation of the sub-flow node that started it. `trace`: the W3C traceparent that came with the event, or ""."""

    run: str
    at: Moment
    flow: str
    digest: str
    trigger: str | None = None
    payload: Payload = NULL
    meta: Payload = NULL
    parent: tuple[str, tuple[int | str, ...]] | None = None
    trace: str = ""


class Completion(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """`error` set: the attempt failed, and `port` and `output` mean nothing."""

    run: str
    at: Moment
    activation: tuple[int | str, ...]
    attempt: int
    port: str = "out"
    output: Payload = NULL
    error: Error | None = None
    retry_after_ms: int | None = None
    worker: str = ""
    took_us: int = 0


class TimerFired(msgspec.Struct, array_like=True, frozen=True, tag=3):
    run: str
    at: Moment
    timer: TimerId


class SignalReceived(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """`id` makes delivery idempotent: the same id is applied once. Empty: every delivery counts.

    `wait` set: meant for that wait of the run alone, counted from 1, and kept for no other.
    """

    run: str
    at: Moment
    name: str
    payload: Payload = NULL
    id: str = ""
    wait: int = 0


class EventReceived(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """`run` empty: for every run of the partition that waits for the event at that moment of the log."""

    run: str
    at: Moment
    event: str
    payload: Payload = NULL
    id: str = ""


class ChildEnded(msgspec.Struct, array_like=True, frozen=True, tag=6):
    run: str
    at: Moment
    activation: tuple[int | str, ...]
    attempt: int
    child: str
    status: str
    output: Payload = NULL
    error: Error | None = None


class CancelRequested(msgspec.Struct, array_like=True, frozen=True, tag=7):
    """`life`: the one that is meant, from 1; a copy that comes when the run has been reopened means nothing then. 0: whichever it is."""

    run: str
    at: Moment
    reason: str = ""
    kill: bool = False
    life: int = 0


class PauseRequested(msgspec.Struct, array_like=True, frozen=True, tag=8):
    """`with_flow`: because its flow is paused with its runs, so that it goes on with it, unless somebody has paused the run itself too."""

    run: str
    at: Moment
    reason: str = ""
    with_flow: bool = False


class ResumeRequested(msgspec.Struct, array_like=True, frozen=True, tag=9):
    """`with_flow`: its flow goes on; a run that somebody has paused by itself stays so."""

    run: str
    at: Moment
    with_flow: bool = False


class RunReopened(msgspec.Struct, array_like=True, frozen=True, tag=11):
    """The run's state from here on is the fold of its first `after` records without those in `dropped` (numbers from 0, ascending).

    `places`: where these records are, as (sequence in HISTORY, entry of that message, first record), so that who owns the partition needs
    nobody's index. `source`: the run that it was forked or imported from; "" for a retry.
    """

    run: str
    at: Moment
    after: int
    dropped: tuple[int, ...] = ()
    places: tuple[tuple[int, int, int], ...] = ()
    source: str = ""
    reason: str = ""


class SlotGranted(msgspec.Struct, array_like=True, frozen=True, tag=12):
    """`activation` () is the run itself. `not_before`: when it may go on, in ms since the epoch (a rate limit); 0: at once.

    `refused` set: there is no slot, and whoever wanted one does not wait (`on_limit: reject`).
    """

    run: str
    at: Moment
    activation: tuple[int | str, ...]
    attempt: int
    limit: str
    not_before: Moment = 0
    refused: str = ""


class SlotWanted(msgspec.Struct, array_like=True, frozen=True, tag=13):
    """`run` is the limit's id, by which the record's partition is found. `holder` and `activation` say who asks; twice is once.

    The rules travel with the question, so that a limit needs no definition: `most` slots at a time, or `most` per `per_ms` in bursts of
    `burst`; higher `priority` first; among equals, each `fair` key in turn.
    """

    run: str
    at: Moment
    holder: str
    activation: tuple[int | str, ...]
    attempt: int
    most: Count
    on_limit: str = "queue"
    per_ms: Milliseconds = 0
    burst: int = 0
    priority: int = 0
    fair: str = ""


class SlotReleased(msgspec.Struct, array_like=True, frozen=True, tag=14):
    """`run` is the limit's id."""

    run: str
    at: Moment
    holder: str
    activation: tuple[int | str, ...]
    attempt: int


class EventCollected(msgspec.Struct, array_like=True, frozen=True, tag=15):
    """`run` is the collector's id, `start` the RunStarted that the event alone would have been: its id makes the delivery idempotent."""

    run: str
    at: Moment
    start: RunStarted


class CollectionStarted(msgspec.Struct, array_like=True, frozen=True, tag=16):
    """`run` is the collector's id, `started` the run that the collection has become: that of its first event."""

    run: str
    at: Moment
    started: str


Record: TypeAlias = (
    RunStarted
    | Completion
    | TimerFired
    | SignalReceived
    | EventReceived
    | ChildEnded
    | CancelRequested
    | PauseRequested
    | ResumeRequested
    | RunReopened
    | SlotGranted
    | SlotWanted
    | SlotReleased
    | EventCollected
    | CollectionStarted
)
