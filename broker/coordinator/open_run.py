"""An open run as its owner holds it: the engine's state, and the part of its journal that is not in the history yet.

The records are kept as the bytes that arrived, one after the other, so that archiving copies and decodes nothing.
"""

from __future__ import annotations

import msgspec

from ...schemas import messages
from ...schemas.messages import Summary
from ...schemas.payload import list_header
from ..engine import Run

_encode = msgspec.msgpack.Encoder().encode
_FOUR = list_header(4)
SEGMENT_NONE = 0


class OpenRun:
    """`archived` records are in the history, `count` records in `tail`. `segment` holds its latest snapshot (0: none yet).

    `at` is the WAL position of its last record, `trace` the traceparent that it was started with.
    """

    __slots__ = ("archived", "at", "count", "run", "segment", "tail", "trace")

    def __init__(self, run: Run, at: int, trace: str = "", archived: int = 0, segment: int = SEGMENT_NONE) -> None:
        self.run = run
        self.at = at
        self.trace = trace
        self.archived = archived
        self.segment = segment
        self.tail = bytearray()
        self.count = 0

    def remember(self, record: msgspec.Raw | bytes, at: int) -> None:
        self.tail += record
        self.count += 1
        self.at = at

    def cut(self, summary: Summary | None = None) -> bytes:
        """The tail as an encoded `messages.Part`, which is no longer kept here."""
        part = b"".join((_FOUR, _encode(self.run.id), _encode(self.archived), list_header(self.count), self.tail, _encode(summary)))
        self.archived += self.count
        self.tail, self.count = bytearray(), 0
        return part

    def records(self) -> list[msgspec.Raw]:
        """The tail's records, still encoded."""
        return messages.split(list_header(self.count) + bytes(self.tail))
