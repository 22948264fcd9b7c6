"""Lineage: a trigger whose params were changed has another memory, and begins with what the one before it knew.

Else a new `settle_ms` would fire everything again. Which memories served a trigger, and when last, each of them says itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from ...schemas.errors import JetfleetError
from .memory import Memory

CHECKED_AT_ONCE = 1_000
Trigger = tuple[str, str]
log = structlog.get_logger("jetfleet.triggers")


def inherit(memory: Memory, triggers: Sequence[Trigger], counts: Callable[[str], bool]) -> None:
    """If another memory served one of these triggers after this one did, take over what it knows of files that count here.

    Raises SourceFailed, SourceBroken for this memory; one that cannot be read has no heirs.
    """
    served = memory.served()
    other = _latest(memory.file, triggers, max((served.get(trigger, 0) for trigger in triggers), default=0))
    if other is not None:
        memory.take_over(other)
        _forget_others(memory, counts)
        log.info("a filesystem trigger with other params goes on with what it knew", file=memory.file.name, other=other.name)
    memory.serves(triggers, time.time_ns())


def _latest(own: Path, triggers: Sequence[Trigger], since_ns: int) -> Path | None:
    """The memory that served one of the triggers last, later than that."""
    found: Path | None = None
    for file in sorted(own.parent.glob("*.db")):
        if file == own:
            continue
        try:
            other = Memory(file)
            try:
                served = other.served()
            finally:
                other.close()
        except JetfleetError as error:
            log.warning("what a filesystem trigger knew cannot be read", file=str(file), reason=str(error))
            continue
        last_ns = max((served.get(trigger, 0) for trigger in triggers), default=0)
        if last_ns > since_ns:
            found, since_ns = file, last_ns
    return found


def _forget_others(memory: Memory, counts: Callable[[str], bool]) -> None:
    last = ""
    while entries := memory.after(last, CHECKED_AT_ONCE):
        last = entries[-1].path
        memory.change(forget=[entry.path for entry in entries if not counts(entry.path)])
    last = ""
    while waiting := memory.to_do(last, CHECKED_AT_ONCE):
        last = waiting[-1][0].path
        memory.change(forget=[entry.path for entry, _ in waiting if not counts(entry.path)])
