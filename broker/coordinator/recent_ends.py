"""Recent ends: how the runs that ended lately have ended, for whoever asks their owner instead of the read model."""

from __future__ import annotations

import msgspec

from ...schemas.messages import Ended

COUNT_MAX = 1_000
OUTPUT_MAX_BYTES = 4 * 1024 * 1024
"""Of all outputs together; the oldest go first."""
NOTICE_OUTPUT_MAX_BYTES = 4 * 1024
"""An output up to this size travels in the notice that its run has ended; a larger one is asked for."""


class RecentEnds:
    """Those of one partition."""

    def __init__(self) -> None:
        self._ends: dict[str, Ended] = {}
        self._bytes = 0

    def add(self, end: Ended) -> None:
        before = self._ends.pop(end.run, None)
        self._ends[end.run] = end
        self._bytes += len(end.output or b"") - len((before and before.output) or b"")
        while len(self._ends) > COUNT_MAX or self._bytes > OUTPUT_MAX_BYTES:
            oldest = self._ends.pop(next(iter(self._ends)))
            self._bytes -= len(oldest.output or b"")

    def forget(self, run: str) -> None:
        """The run goes on: it has not ended any more."""
        end = self._ends.pop(run, None)
        self._bytes -= len((end and end.output) or b"")

    def get(self, run: str) -> Ended | None:
        return self._ends.get(run)


def short(end: Ended) -> Ended:
    """The notice of an end: without an output that is too large to be sent to everybody."""
    return end if len(end.output or b"") <= NOTICE_OUTPUT_MAX_BYTES else msgspec.structs.replace(end, output=None)
