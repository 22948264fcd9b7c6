"""Cron schedules: five fields, or six with the seconds first, and a year as an optional seventh.

Names (`Mon-Fri`), steps, lists, `L`, `?`, `fri#2` and `@hourly` are understood. Hashed and random fields are not: every
process must compute the same times.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from croniter import croniter

_UNSTEADY = re.compile(r"(^|[\s,])[hr]($|[\s,/(])", re.IGNORECASE)
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)


def next_fire(schedule: str, after: datetime) -> datetime:
    """The first time of the schedule after `after`, in the time zone of `after`.

    Raises ValueError if the schedule is malformed or never comes again.
    """
    if _UNSTEADY.search(schedule):
        raise ValueError("hashed (`H`) and random (`R`) fields are not supported")
    found: datetime = croniter(schedule, after, second_at_beginning=True).get_next(datetime)
    return found


def check(schedule: str) -> None:
    """Raises ValueError, with a message for people, unless the schedule is well-formed and fires at all."""
    try:
        next_fire(schedule, _ANY_TIME)
    except (ValueError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(_plain(schedule, str(error))) from None


def _plain(schedule: str, reason: str) -> str:
    fields = len(schedule.split())
    if not schedule.startswith("@") and not 5 <= fields <= 7:
        return f"`{schedule}` has {fields} fields; a schedule has five, or six with the seconds first"
    if "find next date" in reason:
        return f"`{schedule}` never comes"
    if "H` and" in reason or "`H`" in reason:
        return reason
    return f"`{schedule}` is not a cron schedule: a field is out of range or misspelt"
