"""Schedules fire when cronsim says, an implementation of Debian's cron: across ten years, five time zones and each change of their clocks.

Two things are told apart by the definition instead, since there cronsim is not what is promised:

* A schedule with seconds and fixed hours fires once a day like one without; cronsim lets only five fields follow the wall.
* When a clock is put back by half an hour, cronsim walks on in steps of an hour from half past, and leaves times out. So are all zones whose
  clocks do odd things: the definition has cronsim only count in a world without zones.

    pytest -m soak -s -o faulthandler_timeout=0 tests/triggers/cron/test_oracle.py

plays five hundred schedules over ten years and says how many times were compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim, CronSimError

from jetfleet.schemas.flow.cron import Schedule

from .expressions import FIRST, LAST, ODD, ZONES, changes, expressions

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
WHOLE, STRETCHES, STRETCH = 5_000, 120, 40
"""A schedule with at most so many times in the ten years is compared at every one of them; another one in that many stretches, evenly
over the years, of so many times each."""
FOLD_MAX = 3 * HOUR
"""No clock is put back by as much."""
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
            moment = max(moment + SECOND, last)
        if moment > last:
            yield moment
            last = moment


def by_elapsed_time(schedule: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    """Every moment whose wall is a time of the schedule, by the definition: cronsim in a world without zones, and all that show one of its times."""
    place = ZoneInfo(zone)
    first, last = (moment.astimezone(place).replace(tzinfo=None) for moment in (after, until))
    walls = takewhile(lambda wall: wall <= last + FOLD_MAX, CronSim(schedule, first - FOLD_MAX))
    moments = {(wall.replace(tzinfo=place, fold=fold).astimezone(UTC), wall) for wall in walls for fold in (0, 1)}
    return iter(sorted(moment for moment, wall in moments if moment > after and moment.astimezone(place).replace(tzinfo=None) == wall))


def oracle(schedule: str, zone: str, after: datetime, until: datetime) -> Iterator[datetime]:
    if goes_on(schedule):
        odd = zone in ODD or zone == "Australia/Lord_Howe"
        return by_elapsed_time(schedule, zone, after, until) if odd else theirs(schedule, zone, after)
    return on_the_wall(schedule, zone, after) if zone in ODD or len(schedule.split()) > 5 else theirs(schedule, zone, after)


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


def around(schedule: str, zone: str, change: datetime) -> int:
    before = lead(schedule, zone, change)
    return agree(schedule, zone, change - before, change + before + HOUR, 40)


def test_schedules_fire_when_the_oracle_says_around_a_change() -> None:
    compared = 0
    for number, schedule in enumerate(filter(readable, expressions(seed=2026, count=100))):
        for place, zone in enumerate((*ZONES, list(ODD)[number % len(ODD)])):
            compared += around(schedule, zone, changes(zone)[(7 * number + place) % len(changes(zone))])
    assert compared > 1_000


@pytest.mark.soak
@pytest.mark.parametrize("zone", ZONES)
def test_five_hundred_schedules_fire_when_the_oracle_says_for_ten_years(zone: str) -> None:
    schedules = list(filter(readable, expressions(seed=2027, count=500)))
    whole = sum(len(list(islice(times, WHOLE + 1))) <= WHOLE for times in (within_ten_years(each) for each in schedules))
    compared = sum(ten_years(schedule, zone) + changing(schedule, zone) for schedule in schedules)
    print(
        f"cron: {zone}: {compared:,} times of {len(schedules)} schedules compared, {whole} of them at every time of ten years", flush=True
    )


@pytest.mark.soak
@pytest.mark.parametrize("zone", ODD)
def test_five_hundred_schedules_fire_when_the_definition_says_where_clocks_do_odd_things(zone: str) -> None:
    schedules = list(filter(readable, expressions(seed=2028, count=500)))
    compared = sum(changing(schedule, zone) for schedule in schedules)
    print(f"cron: {zone}: {compared:,} times of {len(schedules)} schedules compared around {len(changes(zone))} changes", flush=True)


def within_ten_years(schedule: str) -> Iterator[datetime]:
    return takewhile(lambda moment: moment < LAST, CronSim(schedule, FIRST))


def ten_years(schedule: str, zone: str) -> int:
    if len(list(islice(within_ten_years(schedule), WHOLE + 1))) <= WHOLE:
        return agree(schedule, zone, FIRST, LAST, WHOLE + 100)
    starts = (FIRST + n * (LAST - FIRST) / STRETCHES for n in range(STRETCHES))
    return sum(stretch(schedule, zone, start.replace(microsecond=0)) for start in starts)


def stretch(schedule: str, zone: str, start: datetime) -> int:
    *_, last = islice(ours(schedule, zone, start), STRETCH)
    return agree(schedule, zone, start, min(last, LAST), STRETCH)


def changing(schedule: str, zone: str) -> int:
    """Across every change of the zone's clocks, begun at several distances before it."""
    return sum(agree(schedule, zone, change - lead, change + 5 * HOUR, 200) for change in changes(zone) for lead in LEADS)
