"""What simulated processes log. Kept with the time and who said it; and what no process may ever say, is a complaint.

An exception that was logged with its traceback means that code met what it did not expect: whatever caught it, that is a finding.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from .clock import current, elapsed_s
from .process import Process


class Sayings:
    """`lines`: from the level on that was asked for. `defects`: what was logged with an exception, or calls itself a defect."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.defects: list[str] = []

    def begin(self, lines: list[str]) -> None:
        """Of another seed, from now on; `lines` are where they go."""
        self.lines, self.defects = lines, []

    def listen(self, level: int = logging.WARNING) -> None:
        structlog.configure(
            processors=[structlog.processors.add_log_level, self._take],
            wrapper_class=structlog.make_filtering_bound_logger(level),
            cache_logger_on_first_use=False,
        )

    def _take(self, logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        who = current.get()
        name = who.name if isinstance(who, Process) else "world"
        text, level, error = event.pop("event", ""), event.pop("level", method), event.pop("exc_info", None)
        said = f"{name}: {level}: {text} " + " ".join(f"{key}={value}" for key, value in event.items())
        if error is True:
            error = _being_handled()
        if isinstance(error, BaseException):
            frames = traceback.extract_tb(error.__traceback__)[-3:]
            said += f" | {error!r}" + "".join(f" | {frame.filename.rpartition('/main/')[2]}:{frame.lineno}" for frame in frames)
        self.lines.append(f"{elapsed_s():9.3f}  {said}")
        if error is not None or "defect" in said:
            self.defects.append(said)
        raise structlog.DropEvent


def _being_handled() -> BaseException | None:
    return sys.exc_info()[1]


sayings = Sayings()
