"""Reading a message of tasks: all that can be read, and a dead letter for what is none. What is broken keeps nothing else from its turn."""

from __future__ import annotations

import msgspec

from ...schemas.errors import UnreadableRecord
from ...schemas.messages import Task, decode, split
from .dead_letters import DeadLetters
from .unit import UnitOfWork

_tasks = msgspec.msgpack.Decoder(list[Task])


def tasks_of(unit: UnitOfWork, dead_letters: DeadLetters) -> list[Task]:
    """The tasks of the unit's message. A letter for another entry is owed by the unit."""
    data = unit.message.data
    try:
        return _tasks.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError):
        return _one_by_one(unit, data, dead_letters)


def _one_by_one(unit: UnitOfWork, data: bytes, dead_letters: DeadLetters) -> list[Task]:
    try:
        entries = split(data)
    except UnreadableRecord as error:
        dead_letters.bury(unit, data, error, "message")
        return []
    tasks = []
    for index, entry in enumerate(entries):
        try:
            tasks.append(decode(Task, entry))
        except UnreadableRecord as error:
            dead_letters.bury(unit, bytes(entry), error, f"entry {index}")
    return tasks
