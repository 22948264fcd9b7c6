"""An open run as its owner holds it: the engine's state, and the part of its journal that is not in the history yet.

The records are kept as the bytes that arrived, one after the other, so that archiving copies and decodes nothing.

Most open runs wait, for days perhaps. A run that has nothing under way *rests* when it was written to a snapshot: of its state only the
bytes of that snapshot stay in memory, less what its id and plan say anyway: a tenth of the size of the objects. Nor does a new owner
build objects that nobody may ever look at. Whoever looks at `run` wakes it.
"""

from __future__ import annotations

import msgspec

from ...schemas import messages
from ...schemas.chain import UNKNOWN, extended, start
from ...schemas.messages import Summary
from ...schemas.payload import list_header
from ...schemas.plan.plan import Plan
from ..engine import Run, has_tasks_out, restore, timers, trimmed, untrimmed

_encode = msgspec.msgpack.Encoder().encode
_FIVE = list_header(5)
SEGMENT_NONE = 0


class OpenRun:
    """`archived` records are in the history, `count` records in `tail`. `segment` holds its latest snapshot (0: none yet).

    `state` is that of a run that rests, as `engine.trimmed` gives it. `at` is the WAL position of its last record, `trace` the traceparent
    that it was started with. `chain` is the value of the hash chain after the archived records, worked out when they are: meaningless
    before, and UNKNOWN for good if the first ones had none.
    `reopened`: behind how many records of its journal its present life began; 0: it is the first.
    """

    __slots__ = ("archived", "at", "chain", "count", "id", "plan", "reopened", "run", "segment", "state", "tail", "trace")

    run: Run
    """Not set while the run rests: see `__getattr__`."""

    def __init__(
        self, id: str, plan: Plan, at: int, trace: str = "", archived: int = 0, segment: int = SEGMENT_NONE, state: bytes = b""
    ) -> None:
        self.id = id
        self.plan = plan
        self.at = at
        self.trace = trace
        self.archived = archived
        self.segment = segment
        self.state = state
        self.chain = UNKNOWN
        self.reopened = 0
        self.tail: bytearray | bytes = b""
        self.count = 0

    @classmethod
    def begun(cls, run: Run, at: int, trace: str = "") -> OpenRun:
        """A new run."""
        self = cls(run.id, run.plan, at, trace)
        self.run = run
        return self

    def __getattr__(self, name: str) -> Run:
        """Python asks here for what is not set: `run` of a run that rests. Awake, reading `run` costs no more than any attribute."""
        if name != "run":
            raise AttributeError(name)
        return self.wake()

    @property
    def rests(self) -> bool:
        return bool(self.state)

    def wake(self) -> Run:
        """Build the state from its bytes. Raises UnreadableRecord if they are none."""
        self.run = self.look()
        self.state = b""
        return self.run

    def look(self) -> Run:
        """The state, only to be read: a run that rests goes on resting. Raises UnreadableRecord."""
        return restore(self.plan, untrimmed(self.id, self.plan.digest, self.state)) if self.state else self.run

    def rest(self, state: bytes) -> None:
        """Let go of the objects. `state` is `engine.snapshot(run)` of now, and not empty."""
        self.state = trimmed(self.id, self.plan.digest, state)
        self.run.dissolve()
        del self.run

    def remember(self, record: msgspec.Raw | bytes, at: int) -> None:
        if self.count:
            self.tail += record
        else:
            self.tail = bytearray(record)
        self.count += 1
        self.at = at

    def cut(self, summary: Summary | None = None) -> bytes:
        """The tail as an encoded `messages.Part`, which is no longer kept here."""
        id, records = self.id, list_header(self.count) + self.tail
        self.chain = extended(self.chain if self.archived else start(id), messages.split(records))
        part = b"".join((_FIVE, _encode(id), _encode(self.archived), records, _encode(summary), _encode(self.chain)))
        self.archived += self.count
        self.tail, self.count = b"", 0
        return part

    def records(self) -> list[msgspec.Raw]:
        """The tail's records, still encoded."""
        return messages.split(list_header(self.count) + bytes(self.tail))


def may_rest(run: Run, horizon_ms: int) -> bool:
    """Whether memory need not hold the run: no task is out, and no timer due before the horizon (later ones the server keeps)."""
    return not has_tasks_out(run) and all(timer.due > horizon_ms for timer in timers(run))
