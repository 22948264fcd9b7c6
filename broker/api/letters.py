"""Dead letters: messages that could not be read or placed, kept with the reason in the stream DEAD until somebody looks after them.

To redrive a letter is to publish its message again once what stood in its way is mended; only then it leaves the stream. An event goes
as it came. Of records and tasks a letter mostly holds one entry of a batch, which goes as a batch of its own; whoever gets the task asks
its owner first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from ...schemas import messages, subjects
from ...schemas.errors import UnreadableRecord, UsageError
from ...schemas.messages import DeadLetter
from ...schemas.payload import decode
from ..client import Connection
from .errors import SentLately

MSG_ID = "Nats-Msg-Id"
EVENT, TASK, SIGNAL = "event", "task", "signal"
Parts: TypeAlias = tuple[bytes, str | None, dict[str, str]]
"""Of a message: data, idempotency key, headers."""


@dataclass(frozen=True, slots=True)
class Letter:
    """`seq` is its number, by which it is shown and redriven."""

    seq: int
    letter: DeadLetter


async def dead_letters(connection: Connection) -> list[Letter]:
    """All dead letters, oldest first. Raises BrokerError."""
    return [_read(stored.seq, stored.data) async for stored in connection.streams.read(subjects.DEAD)]


async def dead_letter(connection: Connection, seq: int) -> Letter:
    """Raises UsageError if there is none with this number."""
    stored = await connection.streams.get(subjects.DEAD, seq)
    if stored is None:
        raise UsageError(f"there is no dead letter {seq}; `jetfleet dlq list` shows those there are")
    return _read(stored.seq, stored.data)


async def redrive(connection: Connection, seq: int) -> Letter:
    """Publish the letter's message again and take it from the dead. Raises UsageError, SentLately, BrokerError."""
    dead = await dead_letter(connection, seq)
    letter = dead.letter
    if not letter.subject:
        raise UsageError(f"dead letter {seq} cannot be read by this version, so it cannot be sent again: {letter.reason}")
    data, key, headers = _event(letter) if letter.kind in (EVENT, SIGNAL) else _entry(letter)
    ack = await connection.publisher.publish(letter.subject, data, id=key or f"redrive-{seq}", headers=headers)
    if ack.duplicate and key is not None:
        raise SentLately(
            f"dead letter {seq} was first sent less than two minutes ago, and the server drops the same {MSG_ID} twice; try again then"
        )
    await connection.streams.delete_message(subjects.DEAD, seq)
    return dead


async def drop(connection: Connection, seq: int) -> Letter:
    """Forget the letter; as it was. Raises UsageError, BrokerError."""
    dead = await dead_letter(connection, seq)
    await connection.streams.delete_message(subjects.DEAD, seq)
    return dead


async def waiting_events(connection: Connection, flows: Sequence[str]) -> dict[str, int]:
    """How many events wait on each subject of a flow that is not among these, because it is not deployed. Raises BrokerError."""
    question = msgspec.json.encode({"subjects_filter": subjects.event(">")})
    answer = await connection.request(f"$JS.API.STREAM.INFO.{subjects.EVENTS}", question)
    found = msgspec.json.decode(answer.data).get("state", {}).get("subjects") or {}
    return {subject: count for subject, count in sorted(found.items()) if subject.split(".")[1] not in flows}


def _event(letter: DeadLetter) -> Parts:
    """It keeps its key: it is the same event, and the same run; or the same signal."""
    return letter.data, letter.headers.get(MSG_ID), {name: value for name, value in letter.headers.items() if name != MSG_ID}


def _entry(letter: DeadLetter) -> Parts:
    """The id was the whole batch's. A task counts as given back: its run may have gone on without it, and its deaths are forgiven."""
    headers = {subjects.DEATHS_HEADER: "0"} if letter.kind == TASK else {}
    return (messages.join([letter.data]) if _is_entry(letter.data) else letter.data), None, headers


def _is_entry(data: bytes) -> bool:
    """Whether the bytes are a record or a task, and no batch: an array that does not begin with one."""
    try:
        entries = messages.split(data)
    except UnreadableRecord:
        return False
    return bool(entries) and not isinstance(decode(bytes(entries[0])), list)


def _read(seq: int, data: bytes) -> Letter:
    try:
        return Letter(seq, messages.decode(DeadLetter, data))
    except UnreadableRecord as error:
        return Letter(seq, DeadLetter("unknown", error.code, str(error), "", bytes(data), 0))
