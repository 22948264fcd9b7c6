"""Ids of ended runs: remembered for the window, over snapshots and owners, and not for longer."""

from __future__ import annotations

from random import Random

import pytest

from jetfleet.broker.coordinator import ended_runs
from jetfleet.broker.coordinator.ended_runs import GENERATION_MS, WINDOW_MS, EndedRuns, life_of

MOST = 1_000


def ids(first: int, count: int) -> list[str]:
    return [f"orders/{number}" for number in range(first, first + count)]


def add(ended: EndedRuns, runs: list[str]) -> None:
    for run in runs:
        ended.add(run)


def remembers(ended: EndedRuns, runs: list[str]) -> bool:
    return all(run in ended for run in runs)


def test_what_ended_is_known_and_nothing_else() -> None:
    ended = EndedRuns(MOST)
    add(ended, ids(0, 100))
    assert remembers(ended, ids(0, 100)) and len(ended) == 100
    assert not any(run in ended for run in ids(100, 100))


def test_a_generation_is_written_anew_until_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_runs, "GENERATION_MAX", 3)
    ended = EndedRuns(MOST)
    written = []
    for segment in range(1, 5):
        add(ended, ids(2 * segment, 2))
        number, _, data = ended.write(segment, 1_000)
        written.append((number, len(data) // 8))
    assert written == [(1, 2), (1, 4), (2, 2), (2, 4)]
    assert ended.segments() == {2, 4, 0}  # the last one has not been written yet


def test_an_old_generation_is_closed_however_small() -> None:
    ended = EndedRuns(MOST)
    add(ended, ids(0, 1))
    assert ended.write(1, 1_000)[0] == 1
    assert ended.write(2, 1_000 + GENERATION_MS)[0] == 1
    assert ended.write(3, 1_000 + GENERATION_MS)[0] == 2


def test_a_new_owner_knows_what_was_written_and_goes_on_with_the_last_generation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_runs, "GENERATION_MAX", 5)
    chance, ended = Random(1), EndedRuns(MOST)
    segments: dict[int, tuple[int, int, bytes]] = {}
    known = 0
    for segment in range(1, 40):
        count = chance.randrange(4)
        add(ended, ids(known, count))
        known += count
        segments[segment] = ended.write(segment, 1_000)
        if chance.random() < 0.3:
            needed, ended = ended.segments(), EndedRuns(MOST)
            for number in sorted(needed - {0}):
                ended.adopt(number, *segments[number])
        assert remembers(ended, ids(0, known)) and len(ended) == known


def test_a_segment_that_is_read_twice_changes_nothing() -> None:
    ended, other = EndedRuns(MOST), EndedRuns(MOST)
    add(ended, ids(0, 10))
    data = ended.write(1, 1_000)
    other.adopt(1, *data)
    other.adopt(2, *data)
    assert remembers(other, ids(0, 10)) and len(other) == 10
    assert other.segments() == {2}


def test_after_the_window_a_run_is_forgotten() -> None:
    ended = EndedRuns(MOST)
    add(ended, ids(0, 10))
    ended.write(1, 1_000)
    ended.write(2, 1_000 + GENERATION_MS)
    add(ended, ids(10, 10))
    ended.write(3, 1_000 + GENERATION_MS)
    ended.forget_old(1_000 + WINDOW_MS)
    assert remembers(ended, ids(0, 20))
    ended.forget_old(1_001 + WINDOW_MS)
    assert not any(run in ended for run in ids(0, 10)) and remembers(ended, ids(10, 10))
    assert ended.segments() == {3}


def test_the_oldest_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ended_runs, "GENERATION_MAX", 10)
    ended = EndedRuns(25)
    for segment in range(1, 6):
        add(ended, ids(10 * segment, 10))
        ended.write(segment, 1_000)
    ended.forget_old(1_000)
    assert not any(run in ended for run in ids(10, 30)) and remembers(ended, ids(40, 20))


def test_the_generation_that_is_being_filled_is_never_forgotten() -> None:
    ended = EndedRuns(1)
    add(ended, ids(0, 50))
    ended.write(1, 1_000)
    ended.forget_old(10 * WINDOW_MS)
    assert remembers(ended, ids(0, 50))


@pytest.mark.parametrize("over_a_snapshot", [False, True])
def test_a_run_that_ended_twice_is_known_for_the_window_after_its_second_end(over_a_snapshot: bool) -> None:
    ended = EndedRuns(MOST)
    add(ended, ids(0, 2))
    first = ended.write(1, 1_000)
    later = 1_000 + GENERATION_MS
    ended.write(2, later)
    add(ended, [ids(0, 1)[0], life_of(ids(0, 1)[0], 7)])
    second = ended.write(3, later)
    if over_a_snapshot:
        ended = EndedRuns(MOST)
        ended.adopt(2, *first)
        ended.adopt(3, *second)
        ended.write(4, later + GENERATION_MS)
    ended.forget_old(1_001 + WINDOW_MS)
    assert remembers(ended, [ids(0, 1)[0], life_of(ids(0, 1)[0], 7)]) and ids(1, 1)[0] not in ended
