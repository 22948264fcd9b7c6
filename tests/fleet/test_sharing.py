"""Sharing partitions: even, the same for everybody, and nothing moves without need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.fleet.sharing import due, to_claim, to_release

MEMBERS = st.lists(st.text("abc", min_size=1), min_size=1, max_size=9, unique=True)


@given(MEMBERS, st.integers(1, 64))
def test_all_partitions_are_somebodys_and_nobody_has_two_more_than_another(members: list[str], partitions: int) -> None:
    shares = [due(member, members, partitions) for member in members]
    assert sum(shares) == partitions
    assert max(shares) - min(shares) <= 1


def test_the_first_by_id_take_what_does_not_come_out_even() -> None:
    assert [due(member, ["c", "a", "b"], 8) for member in "abc"] == [3, 3, 2]
    assert due("a", [], 8) == 8


def test_who_has_too_many_gives_up_the_highest() -> None:
    assert to_release({1, 5, 3, 7}, 2) == [7, 5]
    assert to_release({1, 5}, 4) == []


def test_members_that_start_together_look_at_different_places() -> None:
    wanted = {member: to_claim(member, "abcd", 8, range(8), 2) for member in "abcd"}
    assert sorted(partition for claims in wanted.values() for partition in claims) == list(range(8))


@given(MEMBERS, st.sets(st.integers(0, 31)), st.integers(-3, 40))
def test_only_what_is_available_is_claimed_and_no_more_than_wanted(members: list[str], available: set[int], wanted: int) -> None:
    claims = to_claim(members[0], members, 32, available, wanted)
    assert len(claims) == min(len(available), max(0, wanted))
    assert set(claims) <= available
