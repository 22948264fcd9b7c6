"""The circuit breaker: when it opens, when it lets one run try, when it closes. Times are numbers that the tests choose."""

from __future__ import annotations

from jetfleet.broker.coordinator.breaker import MINIMUM_RUNS, Breaker

WINDOW_MS = 10_000


def opened(at_ms: int = 0) -> Breaker:
    breaker = Breaker(0.5, WINDOW_MS)
    for _ in range(MINIMUM_RUNS):
        breaker.ended(True, at_ms)
    return breaker


def test_it_opens_when_more_than_the_threshold_have_failed() -> None:
    breaker = Breaker(0.5, WINDOW_MS)
    for _ in range(MINIMUM_RUNS):
        breaker.ended(False, 0)
    for _ in range(MINIMUM_RUNS):
        breaker.ended(True, 0)
    assert breaker.allows(0)
    breaker.ended(True, 0)
    assert not breaker.allows(0) and breaker.state(0) == "open"


def test_a_few_failures_are_no_trend() -> None:
    breaker = Breaker(0.0, WINDOW_MS)
    for _ in range(MINIMUM_RUNS - 1):
        breaker.ended(True, 0)
    assert breaker.state(0) == "closed"


def test_a_threshold_of_one_never_opens() -> None:
    breaker = Breaker(1.0, WINDOW_MS)
    for _ in range(10 * MINIMUM_RUNS):
        breaker.ended(True, 0)
    assert breaker.allows(0)


def test_failures_count_no_longer_than_the_window() -> None:
    breaker = Breaker(0.5, WINDOW_MS)
    for _ in range(MINIMUM_RUNS - 1):
        breaker.ended(True, 0)
    for step in range(MINIMUM_RUNS):
        breaker.ended(step % 2 == 0, 2 * WINDOW_MS)
    assert breaker.state(2 * WINDOW_MS) == "closed"


def test_after_the_window_one_run_may_try_and_no_second_one() -> None:
    breaker = opened()
    assert not breaker.allows(WINDOW_MS - 1)
    assert breaker.allows(WINDOW_MS) and breaker.state(WINDOW_MS) == "half_open"
    breaker.started(WINDOW_MS)
    assert not breaker.allows(WINDOW_MS + 1)


def test_a_trial_that_completes_closes_it_and_the_count_begins_anew() -> None:
    breaker = opened()
    breaker.started(WINDOW_MS)
    breaker.ended(False, WINDOW_MS + 1)
    assert breaker.state(WINDOW_MS + 1) == "closed"
    for _ in range(MINIMUM_RUNS - 1):
        breaker.ended(True, WINDOW_MS + 2)
    assert breaker.allows(WINDOW_MS + 2)


def test_a_trial_that_fails_opens_it_for_another_window() -> None:
    breaker = opened()
    breaker.started(WINDOW_MS)
    breaker.ended(True, WINDOW_MS + 1)
    assert not breaker.allows(2 * WINDOW_MS)
    assert breaker.allows(2 * WINDOW_MS + 1)


def test_runs_that_began_before_it_opened_do_not_close_it() -> None:
    breaker = opened()
    breaker.ended(False, WINDOW_MS - 1)
    assert breaker.state(WINDOW_MS - 1) == "open"


def test_a_trial_whose_end_nobody_hears_of_is_followed_by_another() -> None:
    breaker = opened()
    breaker.started(WINDOW_MS)
    assert not breaker.allows(2 * WINDOW_MS - 1)
    assert breaker.allows(2 * WINDOW_MS)
