"""Schedules fire when cronsim says, an implementation of Debian's cron: across ten years, five time zones and each change of their clocks.

Two things are told apart by the definition instead, since there cronsim is not what is promised:

* A schedule with seconds and fixed hours fires once a day like one without; cronsim lets only five fields follow the wall.
* When a clock is put back by half an hour, cronsim walks on in steps of an hour from half past, and leaves times out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from jetfleet.schemas.flow.cron import Schedule

from .expressions import FIRST, LAST, ZONES, changes, expressions

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
LEADS = (timedelta(seconds=15), timedelta(minutes=20), 5 * HOUR)
"""How long before a change it begins: schedules from every second to every few hours are seen across it."""


def readable(schedule: str) -> bool:
    """Whether cronsim knows it, and it comes at all."""
    try:
        return next(CronSim(schedule, FIRST), None) is not None
    except CronSimError:
        return False


def goes_on(schedule: str) -> bool:
    minute, hour = schedule.split()[-5:-3]
    return minute.startswith("*") or hour.startswith("*")


def ours(schedule: str, zone: str, after: datetime) -> Iterator[datetime]:
    times = Schedule(schedule, ZoneInfo(zone))
    moment = times.next(after)
    while moment is not None:
        yield moment
        moment = times.next(moment)


def theirs(schedule: str, zone: str, after: datetime) -> Iterator[datetime]:
    for moment in CronSim(schedule, after.astimezone(ZoneInfo(zone))):
        yield moment.astimezone(UTC)


def on_the_wall(schedule: str, zone: str, after: datetime) -> Iterator[datetime]:
    """Each time of the wall once, by the definition: cronsim in a world without zones, and the first moment that shows a time or a later one."""
    last = after
    for wall in CronSim(schedule, after.astimezone(ZoneInfo(zone)).replace(tzinfo=None)):
        moment = wall.replace(tzinfo=ZoneInfo(zone), fold=1).astimezone(UTC)  # in a gap: before it
        early = wall.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC)
        moment = min(moment, early)
        while moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None) < wall:
            moment += SECOND
        if moment > last:
            yield moment
            last = moment


def by_elapsed_time(schedule: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every moment whose wall is a time of the schedule, by the definition: cronsim in a world without zones, and all that show one of its times."""
    place = ZoneInfo(zone)
    first, last = (moment.astimezone(place).replace(tzinfo=None) for moment in (after, until))
    walls = takewhile(lambda wall: wall <= last + HOUR, CronSim(schedule, first - HOUR))
    moments = {(wall.replace(tzinfo=place, fold=fold).astimezone(UTC), wall) for wall in walls for fold in (0, 1)}
    return iter(sorted(moment for moment, wall in moments if moment > after and moment.astimezone(place).replace(tzinfo=None) == wall))


def oracle(schedule: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    if goes_on(schedule) and zone == "Australia/Lord_Howe":
        return by_elapsed_time(schedule, zone, after, until)
    if goes_on(schedule) or len(schedule.split()) == 5:
        return theirs(schedule, zone, after)
    return on_the_wall(schedule, zone, after)


def agree(schedule: str, zone: str, after: datetime, until: datetime, count: int) -> int:
    """How many times were compared."""
    expected = list(islice(takewhile(lambda moment: moment <= until, oracle(schedule, zone, after, until)), count))
    found = list(islice(takewhile(lambda moment: moment <= until, ours(schedule, zone, after)), count))
    assert found == expected, f"{schedule!r} in {zone} after {after}"
    return len(found)


def lead(schedule: str, zone: str, change: datetime) -> timedelta:
    """How long before the change to begin, so that what is compared lies on both sides of it."""
    for found in LEADS:
        if len(list(islice(takewhile(lambda moment: moment < change, ours(schedule, zone, change - found)), 3))) == 3:
            return found
    return LEADS[-1]


def test_schedules_fire_when_the_oracle_says_around_a_change() -> None:
    compared = 0
    for number, schedule in enumerate(filter(readable, expressions(seed=2026, count=100))):
        for place, zone in enumerate(ZONES):
            change = changes(zone)[(7 * number + place) % len(changes(zone))]
            before = lead(schedule, zone, change)
            compared += agree(schedule, zone, change - before, change + before + HOUR, 40)
    assert compared > 1_000


@pytest.mark.soak
@pytest.mark.parametrize("zone", ZONES)
def test_five_hundred_schedules_fire_when_the_oracle_says_for_ten_years(zone: str) -> None:
    for schedule in filter(readable, expressions(seed=2027, count=500)):
        if not goes_on(schedule):
            agree(schedule, zone, FIRST, LAST, 5_000)
        for change in changes(zone):
            for lead in LEADS:
                agree(schedule, zone, change - lead, change + 5 * HOUR, 200)
