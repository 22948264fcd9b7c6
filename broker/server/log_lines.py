"""The server's log, line by line: into our log, and the last lines kept for the moment when it dies."""

from __future__ import annotations

import asyncio
import re
from collections import deque

import structlog

log = structlog.get_logger("jetfleet.server")

KEPT_LINES = 12
_LINE = re.compile(r"(?:\[\d+\] )?\[(?P<level>[A-Z]{3})\] ?(?P<text>.*)")
_LEVELS = {"TRC": "debug", "DBG": "debug", "INF": "debug", "WRN": "warning", "ERR": "error", "FTL": "error"}
"""The server's `info` tells of its start and its configuration: news to nobody who did not ask."""


class LogLines:
    """Forwards what a server writes. It must be read for as long as the server lives: a full pipe makes the server wait."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=KEPT_LINES)

    async def forward(self, stream: asyncio.StreamReader) -> None:
        """Until the end of the stream. A line longer than the stream's limit is forwarded in pieces."""
        while line := await _read_line(stream):
            self._take(line.decode(errors="replace").rstrip())

    def _take(self, line: str) -> None:
        if not line:
            return
        level, text = parse(line)
        if re.search(r"[A-Za-z]{2}", text):  # not the banner
            self.last.append(text)
            getattr(log, level)(text)


def parse(line: str) -> tuple[str, str]:
    """The level and the text of a line. What is no line of the log, a stack trace say, is an error."""
    if found := _LINE.fullmatch(line):
        return _LEVELS.get(found["level"], "error"), found["text"].strip()
    return "error", line


async def _read_line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError as error:
        return await stream.read(error.consumed)
