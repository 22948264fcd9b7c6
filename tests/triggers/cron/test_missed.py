"""What becomes of times that passed while nobody could take them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from jetfleet.broker.triggers.cron.missed import COUNTED_MAX, GRACE, caught_up, is_missed, skipped
from jetfleet.broker.triggers.cron.schedule import Times
from jetfleet.broker.triggers.cron.tick import Tick, milliseconds
from jetfleet.schemas.flow.triggers.cron import CronParams

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=6, minutes=30)


def params(catch_up: Any, schedule: str = "0 * * * *", **more: Any) -> CronParams:
    return CronParams.model_validate({"schedule": schedule, "catch_up": catch_up, **more})


def tick(wanted: CronParams, **more: Any) -> Tick:
    return Tick(milliseconds(NOON), Times(wanted).identity, **more)


def through(wanted: CronParams, now: datetime, first: Tick | None = None) -> tuple[list[Tick], Tick | None]:
    """The ticks that fire at once, and the one that is waited for then."""
    fired, times, at = [], Times(wanted), first or tick(wanted)
    while True:
        if is_missed(at, wanted, now):
            went_on = caught_up(at, wanted, now)
            if went_on is None:
                return fired, None
            at = went_on
            assert not is_missed(at, wanted, now), "it is decided once"
        if at.time > now:
            return fired, at
        fired.append(at)
        following = times.next(at.time)
        if following is None:
            return fired, None
        at = msgspec.structs.replace(at, at=milliseconds(following), previous=at.at, missed=0, held=False)


def hours(ticks: list[Tick]) -> list[int]:
    return [each.time.hour for each in ticks]


@pytest.mark.parametrize(
    ("catch_up", "more", "fired", "missed"),
    [
        ("skip", {}, [], 7),
        (False, {}, [], 7),
        ("one", {}, [18], 0),
        ("all", {}, [12, 13, 14, 15, 16, 17, 18], 0),
        (True, {}, [12, 13, 14, 15, 16, 17, 18], 0),
        ("all", {"catch_up_max": 3}, [16, 17, 18], 0),
    ],
)
def test_after_six_hours(catch_up: Any, more: dict[str, Any], fired: list[int], missed: int) -> None:
    found, waiting = through(params(catch_up, **more), LATER)
    assert hours(found) == fired
    assert waiting is not None and (waiting.time.hour, waiting.missed) == (19, missed)
    if fired:
        assert found[0].missed == 7 - len(fired), "the first one says how many were left out before it"


@pytest.mark.parametrize("catch_up", ["skip", "one", "all"])
def test_what_is_less_than_a_minute_late_is_not_missed(catch_up: str) -> None:
    every_second = params(catch_up, "* * * * * *")
    found, _ = through(every_second, NOON + timedelta(seconds=30))
    assert [each.time.second for each in found] == list(range(31))
    assert not is_missed(tick(every_second), every_second, NOON - timedelta(hours=1)), "nor is one that seems to be early"


def test_of_every_second_the_last_minute_is_made_up_for_and_the_rest_by_policy() -> None:
    now = NOON + timedelta(seconds=200)
    skipped, _ = through(params("skip", "* * * * * *"), now)
    once, _ = through(params("one", "* * * * * *"), now)
    assert skipped[0].time == now - GRACE + timedelta(seconds=1) and skipped[0].missed == 141
    assert once[0].time == now - GRACE and once[0].missed == 140
    assert len(skipped) == 60 and len(once) == 61


@pytest.mark.parametrize(("catch_up", "fired"), [("skip", []), ("one", [2]), ("all", [0, 1, 2])])
def test_of_a_paused_trigger_all_times_before_it_was_resumed_are_missed(catch_up: str, fired: list[int]) -> None:
    wanted = params(catch_up, "* * * * * *")
    found, waiting = through(wanted, NOON + timedelta(seconds=2), tick(wanted, held=True))
    assert [each.time.second for each in found] == fired
    assert waiting is not None and waiting.time.second == 3


def test_a_tick_that_waited_for_a_run_fires_however_late() -> None:
    wanted = params("skip")
    found, _ = through(wanted, LATER, tick(wanted, until=milliseconds(NOON)))
    assert hours(found) == [12]


def test_jitter_makes_nothing_late() -> None:
    wanted = params("skip", jitter_ms=600_000)
    assert not is_missed(tick(wanted), wanted, NOON + timedelta(minutes=10, seconds=30))
    assert is_missed(tick(wanted), wanted, NOON + timedelta(minutes=12))


def test_a_schedule_that_ended_meanwhile_is_at_its_end() -> None:
    assert through(params("skip", end="2026-03-04T15:00"), LATER) == ([], None)
    found, waiting = through(params("all", end="2026-03-04T15:00"), LATER)
    assert (hours(found), waiting) == ([12, 13, 14, 15], None)


def test_a_year_of_seconds_is_decided_without_counting_them_all() -> None:
    wanted = params("one", "* * * * * *")
    now = NOON + timedelta(days=365)
    found = caught_up(tick(wanted), wanted, now)
    assert found is not None and (found.time, found.missed) == (now - GRACE, COUNTED_MAX - 1)


def test_what_was_left_out_before_is_counted_on() -> None:
    wanted = params("skip")
    found = caught_up(tick(wanted, missed=5, previous=1), wanted, LATER)
    assert found is not None and (found.missed, found.previous) == (12, 1)


@pytest.mark.parametrize("overlap", ["skip", "allow", "queue", "cancel_running"])
@pytest.mark.parametrize("catch_up", ["skip", "one", "all"])
def test_what_passed_while_a_run_was_waited_for_is_made_up_for_only_where_all_times_are_wanted(catch_up: str, overlap: str) -> None:
    wanted = params(catch_up, "* * * * * *", overlap=overlap)
    now = NOON + timedelta(seconds=62)
    late = tick(wanted, begun=milliseconds(now), previous=1)
    assert is_missed(late, wanted, now)
    found = caught_up(late, wanted, now)
    assert found is not None and found.previous == 1
    if catch_up == "all" and overlap != "skip":
        assert (found.time, found.is_decided, found.missed) == (NOON, True, 0)
    else:
        assert (found.time, found.is_decided, found.missed) == (now + timedelta(seconds=1), False, 63), "back in the present"


@pytest.mark.parametrize(("catch_up", "made_up"), [("skip", []), ("one", [18]), ("all", [13, 14, 15, 16, 17, 18])])
def test_what_passed_later_while_all_processes_were_away_is_made_up_for(catch_up: str, made_up: list[int]) -> None:
    wanted = params(catch_up)
    found, waiting = through(wanted, LATER, tick(wanted, begun=milliseconds(NOON + timedelta(minutes=2))))
    assert hours(found) == made_up and waiting is not None
    assert sum(each.missed for each in (*found, waiting)) + len(found) == 7, "and all are accounted for"


def test_a_time_that_finds_a_run_open_is_skipped_with_all_that_passed_by_then() -> None:
    wanted = params("one", "*/3 * * * * *")
    found = skipped(tick(wanted, missed=2, previous=1), wanted, NOON + timedelta(seconds=57))
    assert found is not None and (found.time, found.missed, found.previous) == (NOON + timedelta(minutes=1), 22, 1)
    on_time = skipped(tick(wanted), wanted, NOON - timedelta(milliseconds=200))
    assert on_time is not None and (on_time.time, on_time.missed) == (NOON + timedelta(seconds=3), 1)
    ending = params("one", "* * * * * *", end="2026-03-04T12:00")
    assert skipped(tick(ending), ending, NOON) is None
    later = params("one", "*/3 * * * * *", jitter_ms=6_000)
    jittered = skipped(tick(later), later, NOON + timedelta(seconds=7))
    assert jittered is not None and jittered.time == NOON + timedelta(seconds=3), "it may come when the run has ended"
