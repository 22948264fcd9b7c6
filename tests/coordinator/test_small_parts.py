"""Durations, acknowledged positions, recent ends, paces: the small parts of a coordinator, each by itself."""

from __future__ import annotations

import asyncio
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.coordinator.acknowledged import Acknowledged
from jetfleet.broker.coordinator.durations import FIRST_GUESS_US, Durations
from jetfleet.broker.coordinator.recent_ends import COUNT_MAX, NOTICE_OUTPUT_MAX_BYTES, OUTPUT_MAX_BYTES, RecentEnds, short
from jetfleet.broker.pace import Pace
from jetfleet.schemas.messages import Ended


def test_a_type_that_never_completed_is_guessed_and_the_first_time_replaces_the_guess() -> None:
    durations = Durations()
    assert durations.expected_us("a") == FIRST_GUESS_US + 1
    durations.note("a", 40)
    assert durations.expected_us("a") == 41


def test_the_expectation_follows_what_happens_and_no_single_time_decides() -> None:
    durations = Durations()
    for _ in range(50):
        durations.note("a", 100)
    durations.note("a", 10_000)
    assert 101 < durations.expected_us("a") < 10_000 / 2
    for _ in range(100):
        durations.note("a", 100)
    assert durations.expected_us("a") == 101
    assert durations.expected_us("b") == FIRST_GUESS_US + 1


@given(st.integers(0, 2**32))
def test_the_position_is_the_end_of_what_is_acknowledged_without_a_gap(seed: int) -> None:
    chance, acknowledged = Random(seed), Acknowledged(10)
    tickets = [acknowledged.open(seq) for seq in range(11, 31)]
    left = {}
    for ticket in tickets:
        left[ticket] = chance.randint(0, 3)
        ticket.pending += left[ticket]
        ticket.settled(1, None)
    while left:
        ticket = chance.choice(list(left))
        if left[ticket]:
            count = chance.randint(1, left[ticket])
            left[ticket] -= count
            ticket.settled(count, None)
        if not left[ticket]:
            del left[ticket]
        assert acknowledged.position == min((one.seq for one in left if left[one]), default=31) - 1
    assert acknowledged.under_way == 0


def test_a_ticket_for_what_was_taken_in_before_holds_the_position_and_never_moves_it_back() -> None:
    acknowledged = Acknowledged(0)
    acknowledged.open(5).settled(1, None)
    again, next = acknowledged.open(5), acknowledged.open(6)
    next.settled(1, None)
    assert acknowledged.position == 5
    again.settled(1, None)
    assert acknowledged.position == 6


def test_the_last_ends_are_remembered_and_the_oldest_go() -> None:
    recent = RecentEnds()
    for number in range(COUNT_MAX + 5):
        recent.add(Ended(f"r{number}", "completed", number))
    assert recent.get("r4") is None
    assert recent.get("r5") is not None


def test_large_outputs_push_out_older_ends() -> None:
    recent, half = RecentEnds(), bytes(OUTPUT_MAX_BYTES // 2)
    for name in "abc":
        recent.add(Ended(name, "completed", 0, half))
    assert [recent.get(name) is not None for name in "abc"] == [False, True, True]


def test_an_end_that_is_told_twice_counts_once() -> None:
    recent, half = RecentEnds(), bytes(OUTPUT_MAX_BYTES // 2)
    for name in "abbb":
        recent.add(Ended(name, "completed", 0, half))
    assert recent.get("a") is not None and recent.get("b") is not None


def test_a_notice_goes_without_an_output_that_is_large() -> None:
    small, large = (
        Ended("a", "completed", 1, bytes(NOTICE_OUTPUT_MAX_BYTES)),
        Ended("b", "completed", 1, bytes(NOTICE_OUTPUT_MAX_BYTES + 1)),
    )
    assert short(small) is small
    assert short(large) == Ended("b", "completed", 1)


def test_turns_come_one_after_the_other_however_many_ask() -> None:
    pace = Pace(10.0)
    waits = [pace.next_turn_in_s() for _ in range(5)]
    assert waits[0] == 0
    assert all(10 * place - 5 < wait <= 10 * place for place, wait in enumerate(waits))


def test_turns_that_nobody_took_are_not_made_up_for() -> None:
    pace = Pace(0.0)
    assert [pace.next_turn_in_s() for _ in range(100)] == [0.0] * 100


def test_what_is_under_way_at_a_position_that_was_reached_before_is_waited_for() -> None:
    async def test() -> None:
        acknowledged = Acknowledged(7)
        ticket = acknowledged.open(7)  # a snapshot's journals, say: no new message, yet something is under way
        waiting = asyncio.ensure_future(acknowledged.everything_so_far())
        await asyncio.sleep(0)
        assert acknowledged.position == 7 and not waiting.done()
        ticket.settled(1, None)
        await asyncio.wait_for(waiting, 5)

    asyncio.run(test())
