"""A tick: one time of a cron trigger on its way to becoming a run, and what has been decided about it.

It is the body of the schedule `cron.<flow>.<trigger>`, and of what that fires. Everything that a process has to know to go on with the
trigger stands in it, so it does not matter which process does.
"""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec


class Tick(msgspec.Struct, array_like=True, frozen=True):
    """`at`: the scheduled time, ms since the epoch. `identity`: of the times that it is one of.

    `previous`: the time that became a run last, 0 for none; `missed`: how many times since then did not. `until`: times up to this one fire
    however late they are, since it was decided so. `held`: the trigger was paused when it came. `begun`: when the run before it was begun,
    where the tick was late already then: up to that moment somebody looked after the trigger. 0: it was not.
    """

    at: int
    identity: str
    previous: int = 0
    missed: int = 0
    until: int = 0
    held: bool = False
    begun: int = 0

    @property
    def time(self) -> datetime:
        return moment(self.at)

    @property
    def is_decided(self) -> bool:
        return self.at <= self.until


def key(at: int) -> str:
    """The key of the firing at this time, ms since the epoch: `2026-03-29T01:00:00Z`."""
    return moment(at).isoformat().replace("+00:00", "Z")


def moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1_000, UTC)


def milliseconds(time: datetime) -> int:
    return round(time.timestamp() * 1_000)
