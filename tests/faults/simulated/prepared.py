"""A message on its way into a stream: what its headers ask for, read once."""

from __future__ import annotations

from collections.abc import Mapping

from .stored import fields

ID, STREAM, ROLLUP, TTL = b"Nats-Msg-Id", b"Nats-Expected-Stream", b"Nats-Rollup", b"Nats-TTL"
LAST_SEQ, LAST_SUBJECT_SEQ = b"Nats-Expected-Last-Sequence", b"Nats-Expected-Last-Subject-Sequence"
SCHEDULE, TARGET = b"Nats-Schedule", b"Nats-Schedule-Target"
SCHEDULE_NEXT, SCHEDULER = b"Nats-Schedule-Next", b"Nats-Scheduler"
BATCH, NUMBER, COMMIT = b"Nats-Batch-Id", b"Nats-Batch-Sequence", b"Nats-Batch-Commit"


class Prepared:
    """`asks`: the fields of the headers. The stream fills in `due_ns` (of a schedule), `lives_s` and `rollup`."""

    __slots__ = ("asks", "data", "due_ns", "headers", "lives_s", "rollup", "subject")

    def __init__(self, subject: str, headers: bytes | None, data: bytes) -> None:
        self.subject, self.headers, self.data = subject, headers, data
        self.asks: Mapping[bytes, bytes] = fields(headers)
        self.rollup = self.asks.get(ROLLUP, b"")
        self.due_ns = self.lives_s = 0

    @property
    def id(self) -> bytes | None:
        return self.asks.get(ID)

    def expects(self, name: bytes) -> int | None:
        """A sequence that it expects to be the last one."""
        value = self.asks.get(name)
        return None if value is None or not value.isdigit() else int(value)
