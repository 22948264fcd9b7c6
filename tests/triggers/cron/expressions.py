"""Random cron expressions that both libraries read, and the moments at which zones put their clocks forward or back."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC")
FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
ODD = {
    "Pacific/Apia": 2011,  # a whole day is left out
    "America/Sao_Paulo": 2017,  # midnight is left out
    "Africa/Casablanca": 2024,  # goes back in spring and forward a month later
    "Antarctica/Troll": 2024,  # two hours
    "Asia/Kathmandu": 1985,  # a quarter of an hour
    "Asia/Pyongyang": 2015,  # half an hour back, at midnight
}
"""Zones that do something odd to their clocks, and the year in which, or after which, they do."""
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def expressions(seed: int, count: int) -> Iterator[str]:
    """Of five fields; of each four one has six, the seconds first."""
    chance = random.Random(seed)
    for _ in range(count):
        yield _expression(chance)


def _expression(chance: random.Random) -> str:
    fields = [
        _field(chance, 0, 59, stars=0.2),
        _field(chance, 0, 23, stars=0.3),
        "L" if chance.random() < 0.05 else _field(chance, 1, 31, stars=0.5),
        _field(chance, 1, 12, stars=0.7, names=MONTHS),
        _day_of_week(chance),
    ]
    return " ".join([_field(chance, 0, 59, stars=0.2), *fields] if chance.random() < 0.25 else fields)


def _day_of_week(chance: random.Random) -> str:
    special = chance.random()
    if special < 0.06:
        return f"{chance.randint(0, 6)}#{chance.randint(1, 5)}"
    if special < 0.12:
        return f"{chance.randint(0, 6)}L"
    return _field(chance, 0, 7, stars=0.5, names=DAYS)


def _field(chance: random.Random, low: int, high: int, *, stars: float, names: tuple[str, ...] = ()) -> str:
    kind = (chance.random() - stars) / (1 - stars)
    if kind < 0:
        return "*"
    if kind < 0.25:
        return f"*/{chance.randint(2, max(3, (high - low) // 2))}"
    if kind < 0.4:
        start = chance.randint(low, high - 1)
        step = f"/{chance.randint(1, 5)}" if chance.random() < 0.4 else ""
        return f"{start}-{chance.randint(start + 1, high)}{step}"
    if kind < 0.55:
        return ",".join(str(value) for value in sorted(chance.sample(range(low, high + 1), 3)))
    if kind < 0.6:
        return f"{chance.randint(low, high)}/{chance.randint(2, 7)}"
    return chance.choice(names) if names and kind < 0.75 else str(chance.randint(low, high))


@cache
def changes(zone: str) -> tuple[datetime, ...]:
    """When clocks in the zone are put forward or back; for a zone that never does it, some moments all the same."""
    first, last = (datetime(ODD[zone], 1, 1, tzinfo=UTC), datetime(ODD[zone] + 2, 1, 1, tzinfo=UTC)) if zone in ODD else (FIRST, LAST)
    hour, minute = timedelta(hours=1), timedelta(minutes=1)
    hours = (first + n * hour for n in range((last - first) // hour))
    changing = [moment for moment in hours if _offset(moment + hour, zone) != _offset(moment, zone)]
    found = [
        next(moment + n * minute for n in range(61) if _offset(moment + n * minute, zone) != _offset(moment, zone)) for moment in changing
    ]
    return tuple(found) or tuple(FIRST + timedelta(days=183 * n) for n in range(20))


def _offset(moment: datetime, zone: str) -> timedelta | None:
    return moment.astimezone(ZoneInfo(zone)).utcoffset()
