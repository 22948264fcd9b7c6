"""When a cron trigger fires: clocks that are put forward and back, spellings, several schedules, bounds, jitter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from jetfleet.broker.triggers.cron.schedule import Times, jitter_ms, upcoming
from jetfleet.schemas.flow.triggers.cron import CronParams


def params(schedule: str | list[str], timezone: str = "UTC", **more: Any) -> CronParams:
    return CronParams.model_validate({"schedule": schedule, "timezone": timezone, **more})


def fires(schedule: str | list[str], timezone: str, after: str, count: int, **more: Any) -> list[str]:
    """The next times as the zone's clocks show them, with their offset. `after` is a time of the zone."""
    zone = ZoneInfo(timezone)
    start = datetime.fromisoformat(after).replace(tzinfo=zone)
    return [time.astimezone(zone).strftime("%d %H:%M:%S%z") for time in upcoming(params(schedule, timezone, **more), start, count)]


FORWARD, BACK = "2026-03-29", "2026-10-25"  # in Berlin, at 2:00 and 3:00


@pytest.mark.parametrize("schedule", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_in_the_gap_fires_once_at_the_first_moment_after_it(schedule: str) -> None:
    assert fires(schedule, "Europe/Berlin", "2026-03-28T00:00", 3) == ["28 02:30:00+0100", "29 03:00:00+0200", "30 02:30:00+0200"]


def test_several_times_in_the_gap_and_one_at_its_end_are_one() -> None:
    assert fires("0,15,30 2,3 * * *", "Europe/Berlin", f"{FORWARD}T00:00", 3) == [
        "29 03:00:00+0200",
        "29 03:15:00+0200",
        "29 03:30:00+0200",
    ]


@pytest.mark.parametrize("schedule", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_that_comes_twice_fires_the_first_time(schedule: str) -> None:
    assert fires(schedule, "Europe/Berlin", "2026-10-24T00:00", 3) == ["24 02:30:00+0200", "25 02:30:00+0200", "26 02:30:00+0100"]


def test_who_asks_between_the_two_gets_the_next_day() -> None:
    between = datetime(2026, 10, 25, 0, 45, tzinfo=UTC)  # 2:45 for the first time; 2:30 comes once more
    (time,) = upcoming(params("30 2 * * *", "Europe/Berlin"), between, 1)
    assert time == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(("day", "hours"), [(FORWARD, 23), (BACK, 25)])
@pytest.mark.parametrize(("schedule", "an_hour"), [("0 * * * *", 1), ("@hourly", 1), ("*/20 * * * *", 3), ("15 */20 * * * *", 3)])
def test_schedules_of_every_so_often_go_on_through_changes(day: str, hours: int, schedule: str, an_hour: int) -> None:
    zone = ZoneInfo("Europe/Berlin")
    start = datetime.fromisoformat(day).replace(tzinfo=zone).astimezone(UTC) - timedelta(seconds=1)
    end = start + timedelta(hours=hours)
    times = [time for time in islice(Times(params(schedule, "Europe/Berlin")).after(start), 200) if time <= end]
    assert len(times) == hours * an_hour
    assert {(late - early).total_seconds() for early, late in pairwise(times)} == {3600 / an_hour}


def test_half_an_hour_is_a_change_as_well() -> None:
    lord_howe = "Australia/Lord_Howe"
    assert fires("45 1 * * *", lord_howe, "2026-04-05T00:00", 2) == ["05 01:45:00+1100", "06 01:45:00+1030"]
    assert fires("15 2 * * *", lord_howe, "2026-10-04T00:00", 2) == ["04 02:30:00+1100", "05 02:15:00+1100"]
    assert fires("45 * * * *", lord_howe, "2026-04-05T01:00", 3) == ["05 01:45:00+1100", "05 01:45:00+1030", "05 02:45:00+1030"]


def test_a_day_that_a_zone_left_out_is_a_gap_of_a_day() -> None:
    assert fires("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00", 3) == ["29 09:00:00-1000", "31 00:00:00+1400", "31 09:00:00+1400"]


@pytest.mark.parametrize(
    ("schedule", "more", "expected"),
    [
        ("30 0 9 * * *", {}, ["01 09:00:30"]),
        ("0 9 * * * 30", {"seconds": "last"}, ["01 09:00:30"]),
        ("0 9 * * * 30 2027", {"seconds": "last"}, ["01 09:00:30"]),
        ("@daily", {}, ["02 00:00:00"]),
        ("@Weekly", {}, ["04 00:00:00"]),
        ("0 0 ? * ?", {}, ["02 00:00:00"]),
        ("0 0 * * Fri#2", {}, ["09 00:00:00"]),
        ("0 0 * * 5L", {}, ["30 00:00:00"]),
        ("0 0 lw * *", {}, ["30 00:00:00"]),
        ("0 0 * * friL", {}, ["30 00:00:00"]),
        ("0 0 L * *", {}, ["31 00:00:00"]),
        ("0 0 * * 5-5", {}, ["02 00:00:00", "09 00:00:00"]),
        ("0 0 * * fri/2", {}, ["02 00:00:00", "04 00:00:00"]),
        ("0 0 13 * fri", {}, ["02 00:00:00", "09 00:00:00", "13 00:00:00"]),
        ("0 0 13 * fri#2", {}, ["09 00:00:00", "13 00:00:00"]),
        ("0 0 */2 * fri", {}, ["09 00:00:00", "23 00:00:00"]),
        (["0 9 * * *", "0 18 * * *", "0 */9 * * *"], {}, ["01 09:00:00", "01 18:00:00", "02 00:00:00"]),
    ],
)
def test_spellings(schedule: Any, more: dict[str, str], expected: list[str]) -> None:
    year = "2027" if "2027" in str(schedule) else "2026"
    assert [time[:11] for time in fires(schedule, "UTC", f"{year}-01-01T00:00:00", len(expected), **more)] == expected


@pytest.mark.parametrize("day", [*range(1, 29), 31])
def test_the_working_day_next_to_a_day_stays_in_its_month(day: int) -> None:
    found = upcoming(params(f"0 0 {day}W * *"), datetime(2023, 12, 31, tzinfo=UTC), 48)
    for number, time in enumerate(found):
        month = [datetime(2024 + number // 12, 1 + number % 12, each, tzinfo=UTC) for each in range(1, 29)]
        month += [each for n in range(1, 4) if (each := month[-1] + timedelta(days=n)).month == month[0].month]
        wanted = month[min(day, len(month)) - 1]
        working = [each for each in month if each.isoweekday() < 6]
        assert time == min(working, key=lambda each: abs(each - wanted))


def test_a_year_far_away_comes_all_the_same() -> None:
    assert fires("0 0 0 1 1 ? 2099", "UTC", "2026-01-01T00:00", 2) == ["01 00:00:00+0000"]


def test_a_schedule_may_come_to_its_end() -> None:
    assert fires("0 0 0 1 1 ? 2027", "UTC", "2026-06-01T00:00", 5) == ["01 00:00:00+0000"]
    assert upcoming(params("0 0 0 1 1 ? 2027"), datetime(2027, 1, 1, tzinfo=UTC), 5) == []


def test_bounds_are_times_of_the_zone_and_count_themselves() -> None:
    bounds = {"start": "2026-07-01T09:00", "end": "2026-07-03T07:00:00Z"}
    found = fires("0 9 * * *", "Europe/Berlin", "2026-01-01T00:00", 9, **bounds)
    assert found == ["01 09:00:00+0200", "02 09:00:00+0200", "03 09:00:00+0200"]


@pytest.mark.parametrize(("after", "until", "count"), [("22:00", "23:00", 5), ("22:58", "23:00", 500), ("22:59", "23:00", 1)])
def test_the_latest_times_are_the_last_of_all(after: str, until: str, count: int) -> None:
    times = Times(params("*/7 * * * * *"))
    low, high = (datetime.fromisoformat(f"2026-03-01T{text}:00+00:00") for text in (after, until))
    everything = []
    for time in times.after(low):
        if time > high:
            break
        everything.append(time)
    assert times.latest(low, high, count) == everything[-count:]


def test_jitter_is_the_same_in_every_process_and_another_for_each_time_and_trigger() -> None:
    jittery = params("* * * * *", jitter_ms=30_000)
    times = upcoming(jittery, datetime(2026, 1, 1, tzinfo=UTC), 200)
    found = [jitter_ms(jittery, "shop.tick", time) for time in times]
    assert found[:3] == [8_713, 7_252, 709], "written down: every version must agree"
    assert 0 <= min(found) < 1_000 and 29_000 < max(found) <= 30_000
    assert found != [jitter_ms(jittery, "shop.tock", time) for time in times]
    assert jitter_ms(params("* * * * *"), "shop.tick", times[0]) == 0


def test_what_decides_about_the_times_names_them() -> None:
    same = [params(["0 9 * * *", "0 8 * * *"]), params(["0 8 * * *", "0 9 * * *"], jitter_ms=5, catch_up="all", overlap="allow")]
    other = [params("0 9 * * *"), params("0 9 * * *", "Asia/Tokyo"), params("0 9 * * *", end="2030-01-01")]
    assert len({Times(each).identity for each in same}) == 1
    assert len({Times(each).identity for each in (*same, *other)}) == 4
