"""Views: what the read model answers with, and how questions and answers travel: msgpack arrays, fields only ever appended.

RunRow        a run as lists show it              RunsAsked       which runs, in which order, from where on
RunFound      one run, with where its journal is  Page            some rows, and the cursor of the next
FlowCount     how many runs of a flow there are   Answer          the envelope of every answer
DeadRow       a dead letter as lists show it
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ...schemas.payload import NULL, Payload
from ...schemas.records import Error

LIMIT_MAX = 500
"""Rows of one page: what fits into a message whatever the errors' texts."""
Body = TypeVar("Body")


class RunRow(msgspec.Struct, array_like=True, frozen=True):
    """A run. `status` of an open one is running or paused; its owner knows more. Times in ms since the epoch, durations in ms.

    `source`: the run that it was forked or imported from.
    """

    id: str
    flow: str
    version: str
    digest: str
    status: str
    trigger: str | None
    partition: int
    started_at: int
    ended_at: int | None = None
    duration_ms: int | None = None
    error_type: str | None = None
    error_message: str | None = None
    parent: str | None = None
    records: int = 0
    source: str | None = None


class PartPlace(msgspec.Struct, array_like=True, frozen=True):
    """Where records `first` … `first + records - 1` of a journal are: the entry `index` of message `seq` of HISTORY."""

    seq: int
    index: int
    first: int
    records: int


class RunFound(msgspec.Struct, array_like=True, frozen=True):
    """`output` is None while the run is open, and where it is too large to be kept here: the journal has it."""

    row: RunRow
    output: Payload | None
    error: Error | None
    parts: list[PartPlace]
    trace: str = ""


class FlowCount(msgspec.Struct, array_like=True, frozen=True):
    """How many runs of a flow have each status."""

    flow: str
    statuses: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.statuses.values())


class DeadRow(msgspec.Struct, array_like=True, frozen=True):
    """`seq`: the letter's number in the stream DEAD, by which it is shown and sent again."""

    seq: int
    kind: str
    code: str
    reason: str
    subject: str
    at: int
    size_bytes: int


class RunsAsked(msgspec.Struct, array_like=True, frozen=True):
    """`where` is a filter (search.py); the keywords narrow it further. `order`: a field of `fields.ORDERS`, `-` before it: descending.

    `cursor`: what the page before ended with, "" for the first page. `now_ms`: what `-1h` is counted from; 0: when the question is read.
    `fresh`: the answer knows everything that was in the streams when the question came.
    """

    where: str = ""
    flow: str | None = None
    status: str | None = None
    order: str = "-started"
    limit: int = 50
    cursor: str = ""
    now_ms: int = 0
    fresh: bool = False


class DeadAsked(msgspec.Struct, array_like=True, frozen=True):
    """Dead letters of a kind (None: all), newest first, with a number below `before` (0: from the newest on)."""

    kind: str | None = None
    limit: int = 50
    before: int = 0


class Page(msgspec.Struct, Generic[Body], array_like=True, frozen=True):
    """`cursor`: to be asked with for the next page; "" if this is the last one."""

    rows: list[Body]
    cursor: str = ""


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """`code` is "" where all is well; else why there is no answer, with the `column` of a filter that cannot be read."""

    body: msgspec.Raw = msgspec.Raw(NULL)
    code: str = ""
    reason: str = ""
    column: int = 0


encode = msgspec.msgpack.Encoder().encode


def decode(type: Any, data: bytes | msgspec.Raw) -> Any:
    """Raises msgspec.MsgspecError, and nothing else."""
    try:
        return msgspec.msgpack.decode(data, type=type)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None
