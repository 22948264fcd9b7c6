"""The times of a cron trigger: those of all its schedules, each once, between its bounds.

Pure: the same params give the same times in every process, whatever its clock says.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from zoneinfo import ZoneInfo

from ....schemas.flow.cron import Schedule
from ....schemas.flow.triggers.cron import CronParams

_SECOND = timedelta(seconds=1)


class Times:
    """`identity` names the times: triggers with the same one fire at the same times."""

    def __init__(self, params: CronParams) -> None:
        zone = ZoneInfo(params.timezone)
        self._schedules = {text: Schedule(text, zone, params.seconds) for text in params.schedule}
        self._start, self._end = params.moment(params.start), params.moment(params.end)
        said = (sorted(params.schedule), params.timezone, params.seconds, params.start, params.end)
        self.identity = sha256(repr(said).encode()).hexdigest()[:16]

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`, in UTC; None: there is no more. `start` and `end` are times that count themselves."""
        if self._start is not None and after < self._start:
            after = self._start - _SECOND / 1_000_000
        found = min((time for each in self._schedules.values() if (time := each.next(after)) is not None), default=None)
        return None if found is None or (self._end is not None and found > self._end) else found

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The times after `moment`, one after the other."""
        found = self.next(moment)
        while found is not None:
            yield found
            found = self.next(found)

    def of(self, time: datetime) -> str:
        """The schedule that has this time; the first of several."""
        return next((text for text, each in self._schedules.items() if each.next(time - _SECOND) == time), "")

    def latest(self, after: datetime, until: datetime, count: int) -> list[datetime]:
        """The last `count` times after `after` and up to `until`, oldest first. Works out little more than those, if there are more."""
        span = timedelta(minutes=1)
        while True:
            since = max(after, until - span)
            found = []
            for time in self.after(since):
                if time > until:
                    break
                found.append(time)
            if len(found) >= count or since == after:
                return found[-count:]
            span *= 2


def upcoming(params: CronParams, after: datetime, count: int) -> list[datetime]:
    """The next `count` times of a cron trigger after `after` (aware), in UTC; fewer if its schedule ends.

    Without the jitter: that is when they fire, and this is what they are called.
    """
    found = Times(params).after(after)
    return [time for time, _ in zip(found, range(count), strict=False)]


def jitter_ms(params: CronParams, trigger: str, time: datetime) -> int:
    """By how much the trigger fires after its time: 0 up to `jitter_ms`, made of its name and the time, so that all processes agree."""
    if not params.jitter_ms:
        return 0
    digest = sha256(f"{trigger} {time.astimezone(UTC).isoformat()}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % (params.jitter_ms + 1)
