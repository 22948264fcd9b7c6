"""Cron schedules: five fields; six with the seconds, first unless they are said to be last; a year as an optional seventh.

Names (`Mon-Fri`), steps, lists, `L`, `15W`, `LW`, `?`, `fri#2`, `5L` and `@hourly` are understood. Hashed and random fields are not: every
process must compute the same times. Where day of month and day of week are both given, either is enough; where one of them begins with
`*`, both count.

What happens when clocks are put forward or back:

* A schedule with fixed hours and minutes (`30 2 * * *`) follows the clock on the wall. A time that comes twice fires the first time; one
  that is left out fires once, at the first moment after the gap.
* A schedule whose minute or hour begins with `*` (`*/5 * * * *`, `0 * * * *`) is about how often. It goes on through both: it fires at
  every moment at which the clock on the wall shows a time of the schedule, be it for the second time.

The library that reads the fields only ever sees times without a zone: it gets both cases wrong with one.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from croniter import CroniterBadDateError, croniter

Seconds = Literal["first", "last"]
"""Where the seconds stand in a schedule of six fields or more; the year, if there is one, is always the last."""

_NAMED = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
_DAY_OF_MONTH = {"?": "*", "LW": "31W"}
"""To the library the 31st is the last day in every month."""
_UNSTEADY = re.compile(r"(^|[\s,])[hr]($|[\s,/(])", re.IGNORECASE)
_LAST_OF_MONTH = re.compile(r"\b([0-7]|sun|mon|tue|wed|thu|fri|sat)l\b", re.IGNORECASE)
_FROM_A_DAY_ON = re.compile(r"(^|,)([0-7]|sun|mon|tue|wed|thu|fri|sat)/", re.IGNORECASE)
_RANGE_OF_ONE = re.compile(r"(?<![^,])(\w+)-\1(/\d+)?(?![^,])", re.IGNORECASE)
_STEP = re.compile(r"(?:\*|\d+-\d+)/(\d+)")
_FIELDS = (("minute", 60), ("hour", 24), ("day", 31), ("month", 12), ("day of week", 7), ("second", 60))
_NO_MATCH_YEARS = 200
"""The library gives up after fifty, which a year at the end of its range, 2099, is beyond."""
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ANY_TIME = datetime(2024, 1, 1, tzinfo=UTC)
_MALFORMED = (ValueError, KeyError, AttributeError, OverflowError)
_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)


class Schedule:
    """One schedule in one time zone. Raises ValueError, with the library's words, if it is malformed."""

    def __init__(self, text: str, zone: tzinfo, seconds: Seconds = "first") -> None:
        fields = _fields(text, seconds)
        self._zone = zone
        self._goes_on = fields[0].startswith("*") or fields[1].startswith("*")
        self._searches = [_search(each) for each in _alternatives(fields)]

    def next(self, after: datetime) -> datetime | None:
        """The first time after `after`, which is aware; in UTC, to the second. None: it never comes again."""
        moment = after.astimezone(UTC)
        return self._by_elapsed_time(moment) if self._goes_on else self._by_the_wall(moment)

    def _by_the_wall(self, after: datetime) -> datetime | None:
        """Every time on the wall once."""
        wall = self._wall(after)
        while (found := self._next_on_the_wall(wall)) is not None:
            moment = _first_moment(found, self._zone)
            if moment > after:  # not one that was shown before the clock was put back, or that moved out of a gap
                return moment
            wall = found
        return None

    def _by_elapsed_time(self, after: datetime) -> datetime | None:
        """Every moment that the wall shows. Between two changes of the offset the wall and elapsed time go alike."""
        wall, offset = self._wall(after), _offset(after, self._zone)
        while (found := self._next_on_the_wall(wall)) is not None:
            moment = found.replace(tzinfo=UTC) - offset
            changed = _change(self._zone, after, moment)
            if changed is None:
                return moment
            after, offset = changed, _offset(changed, self._zone)
            wall = self._wall(changed) - _SECOND  # the moment of the change itself is one of them
        return None

    def _next_on_the_wall(self, wall: datetime) -> datetime | None:
        found = [next_time for search in self._searches if (next_time := _next(search, wall)) is not None]
        return min(found, default=None)

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)


def next_fire(schedule: str, after: datetime, seconds: Seconds = "first") -> datetime:
    """The first time of the schedule after `after`, in the time zone of `after`.

    Raises ValueError if the schedule is malformed or never comes again.
    """
    zone = after.tzinfo or UTC
    found = Schedule(schedule, zone, seconds).next(after)
    if found is None:
        raise ValueError(f"`{schedule}` never comes again after {after.isoformat()}")
    return found.astimezone(zone)


def check(schedule: str, seconds: Seconds = "first") -> None:
    """Raises ValueError, with a message for people, unless the schedule is well-formed and fires at all."""
    if _UNSTEADY.search(schedule):
        raise ValueError("hashed (`H`) and random (`R`) fields are not supported; `jitter_ms` spreads what would all come at once")
    if schedule.strip().startswith("@") and schedule.strip().lower() not in _NAMED:
        raise ValueError(f"there is no `{schedule.strip()}`; there are {', '.join(_NAMED)}, and fields")
    fields = len(schedule.split())
    if not schedule.strip().startswith("@") and not 5 <= fields <= 7:
        raise ValueError(f"`{schedule}` has {fields} fields; a schedule has five, or six with the seconds {seconds}")
    try:
        found = Schedule(schedule, UTC, seconds).next(_ANY_TIME)
    except _MALFORMED:
        raise ValueError(f"`{schedule}` is not a cron schedule: {_wrong(schedule, seconds)} is out of range or misspelt") from None
    if found is None:
        raise ValueError(f"`{schedule}` never comes")


def _wrong(schedule: str, seconds: Seconds) -> str:
    """The first field that cannot be read alone either."""
    fields = schedule.split()
    for place, field in enumerate(fields):
        alone = ["*"] * len(fields)
        alone[place] = field
        try:
            Schedule(" ".join(alone), UTC, seconds).next(_ANY_TIME)
        except _MALFORMED:
            return f"`{field}`"
    return "a field"


def steps_beyond(schedule: str, seconds: Seconds = "first") -> list[tuple[str, str, int]]:
    """The fields with a step that is larger than there are values, such as `*/90` minutes: field, its name, how many values there are."""
    fields = zip(_fields(schedule, seconds), _FIELDS, strict=False)
    return [(field, name, size) for field, (name, size) in fields if any(int(step) > size for step in _STEP.findall(field))]


# --- fields


def _fields(text: str, seconds: Seconds) -> list[str]:
    """Minute, hour, day, month, day of week and, where they are given, second and year: the order that the library has."""
    if _UNSTEADY.search(text):
        raise ValueError("hashed (`H`) and random (`R`) fields are not supported")
    fields = _NAMED.get(text.strip().lower(), text).split()
    if len(fields) > 5 and seconds == "first":
        fields.insert(5, fields.pop(0))
    if len(fields) < 5:
        raise ValueError("too few fields")
    fields[2], fields[4] = _DAY_OF_MONTH.get(fields[2].upper(), fields[2]), _LAST_OF_MONTH.sub(_last, fields[4].replace("?", "*"))
    fields[4] = _FROM_A_DAY_ON.sub(r"\1\2-7/", fields[4])  # to Sunday, not to the library's Saturday
    return [_RANGE_OF_ONE.sub(r"\1", field) for field in fields]  # the library takes the day of week `5-5` for all days


def _last(found: re.Match[str]) -> str:
    """`5L` and `friL` as the library wants it: `L5`."""
    day = found[1].lower()
    return f"L{_DAYS.index(day) if day in _DAYS else int(day) % 7}"


def _alternatives(fields: list[str]) -> list[list[str]]:
    """Either of two days is enough: then they are two schedules. The library has this wrong where one of them is `fri#2` or `L5`."""
    day, weekday = fields[2], fields[4]
    if day.startswith("*") or weekday.startswith("*"):
        return [fields]
    return [[*fields[:4], "*", *fields[5:]], [*fields[:2], "*", *fields[3:]]]


def _search(fields: list[str]) -> croniter:
    # "Bug" is the library's word for: with a day that begins with `*`, both days count.
    text, start = " ".join(fields), _ANY_TIME.replace(tzinfo=None)
    return croniter(text, start, implement_cron_bug=True, max_years_between_matches=_NO_MATCH_YEARS)


def _next(search: croniter, wall: datetime) -> datetime | None:
    try:
        found: datetime = search.get_next(datetime, start_time=wall, update_current=False)
    except CroniterBadDateError:
        return None
    return found


# --- clocks on walls


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _first_moment(wall: datetime, zone: tzinfo) -> datetime:
    """When a clock in the zone shows this for the first time; if it never does, when it has gone past it."""
    early = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if early.astimezone(zone).replace(tzinfo=None, fold=0) == wall:
        return early
    before_the_gap = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)
    return _change(zone, before_the_gap, early) or early


def _change(zone: tzinfo, after: datetime, until: datetime) -> datetime | None:
    """The first moment after `after` and up to `until` at which the zone's offset is another one, to the second."""
    was = _offset(after, zone)
    low = after
    while low < until:  # by days: no zone changes its offset and changes it back within one
        high = min(low + _DAY, until)
        if _offset(high, zone) != was:
            break
        low = high
    else:
        return None
    while high - low > _SECOND:
        middle = low + (high - low) // (2 * _SECOND) * _SECOND
        low, high = (low, middle) if _offset(middle, zone) != was else (middle, high)
    return high.replace(microsecond=0)
