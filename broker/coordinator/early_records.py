"""Early records: what somebody says to a run before the run's start has come through the WAL.

An event goes through intake, a signal straight into the WAL: so a signal that was sent right after the event may be there first. It waits
here for its run. Who is spoken to may also not exist at all, so only the latest are kept; and which these are depends on the WAL alone.
"""

from __future__ import annotations

from ...schemas.records import CancelRequested, EventReceived, PauseRequested, Record, ResumeRequested, SignalReceived

COUNT_MAX = 1_000
AGE_MAX = 10_000
"""In WAL messages: a run that has not begun so long after it was spoken to never will."""
KINDS = (SignalReceived, EventReceived, CancelRequested, PauseRequested, ResumeRequested)


class EarlyRecords:
    """Those of one partition."""

    def __init__(self) -> None:
        self._records: dict[str, list[tuple[int, bytes]]] = {}
        self._count = 0

    def keep(self, record: Record, raw: bytes, seq: int) -> bool:
        """Keep a record for a run that is not known. False: it is none of a kind that comes early."""
        if not isinstance(record, KINDS) or not record.run:
            return False
        self._records.setdefault(record.run, []).append((seq, raw))
        self._count += 1
        while self._records and (self._count > COUNT_MAX or self.oldest < seq - AGE_MAX):
            self.take(next(iter(self._records)))
        return True

    def take(self, run: str) -> list[bytes]:
        """What was said to this run, in order; it is not kept any longer."""
        if not self._records:
            return []
        found = self._records.pop(run, [])
        self._count -= len(found)
        return [raw for _, raw in found]

    @property
    def oldest(self) -> int:
        """The WAL position of the oldest one; a snapshot must leave it in the WAL. 0: there is none."""
        return next(iter(self._records.values()))[0][0] if self._records else 0
