"""Gates: any number of askers, in any order, some of them twice. Checked against a plain model of who may hold what."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jetfleet.broker.engine.gate import (
    HOLDING,
    LEAVING,
    LIMIT_REACHED,
    REMEMBERED_MAX,
    REMEMBERED_MS,
    SUPERSEDED,
    WAITING,
    Gate,
    Holder,
)
from jetfleet.schemas.codec import decode_record, encode_record
from jetfleet.schemas.errors import UnreadableRecord
from jetfleet.schemas.records import CancelRequested, SlotGranted, SlotReleased, SlotWanted

LIMIT = "=flow:f:"


def wanted(run: str, most: int = 1, at: int = 1_000, on_limit: str = "queue", **rules: object) -> SlotWanted:
    return SlotWanted(LIMIT, at, run, (), 1, most, on_limit, **rules)  # type: ignore[arg-type]


def released(run: str, at: int = 1_000) -> SlotReleased:
    return SlotReleased(LIMIT, at, run, (), 1)


def granted(answers: list[SlotGranted | CancelRequested]) -> list[str]:
    return [answer.run for answer in answers if isinstance(answer, SlotGranted) and not answer.refused]


def line_up(gate: Gate, *runs: tuple[str, int, str], most: int = 1) -> None:
    """(run, priority, fair) each."""
    for run, priority, fair in runs:
        gate.take(wanted(run, most, priority=priority, fair=fair))


def work_off(gate: Gate, *holding: str) -> list[str]:
    """Who gets in, one after the other, as the holders let go."""
    order, now = [], list(holding)
    while now:
        now += granted(gate.take(released(now.pop(0))))
        order += [run for run in now[-1:] if run not in order]
    return order


# --- one at a time


def test_asking_twice_is_asking_once_and_a_holder_is_answered_again() -> None:
    gate = Gate(LIMIT)
    assert granted(gate.take(wanted("a"))) == ["a"]
    assert granted(gate.take(wanted("a"))) == ["a"]
    assert gate.take(wanted("b")) == gate.take(wanted("b")) == []
    assert (gate.held, gate.waiting) == (1, 1)
    assert granted(gate.take(released("a"))) == ["b"]
    assert gate.take(released("a")) == []
    assert gate.take(released("b")) == [] and gate.is_idle(1_000)


def test_who_lets_go_of_its_place_in_line_is_passed_over() -> None:
    gate = Gate(LIMIT)
    line_up(gate, ("a", 0, ""), ("b", 0, ""), ("c", 0, ""))
    gate.take(released("b"))
    assert work_off(gate, "a") == ["c"]


def test_the_highest_priority_goes_first_and_the_oldest_of_those() -> None:
    gate = Gate(LIMIT)
    line_up(gate, ("now", 0, ""), ("low", -1, ""), ("old", 5, ""), ("new", 5, ""), ("plain", 0, ""))
    assert work_off(gate, "now") == ["old", "new", "plain", "low"]


def test_each_key_has_its_turn_however_many_another_one_sends() -> None:
    gate = Gate(LIMIT)
    line_up(gate, ("now", 0, "noisy"), *((f"noisy{n}", 0, "noisy") for n in range(200)), ("b0", 0, "b"), ("b1", 0, "b"), ("c0", 0, "c"))
    assert [holder.run for holder, _ in gate.in_line()][:6] == ["noisy0", "b0", "c0", "noisy1", "b1", "noisy2"]
    assert work_off(gate, "now")[:6] == ["noisy0", "b0", "c0", "noisy1", "b1", "noisy2"]


def test_a_limit_that_is_raised_lets_in_who_waits_and_one_that_is_lowered_nobody() -> None:
    gate = Gate(LIMIT)
    line_up(gate, ("a", 0, ""), ("b", 0, ""), ("c", 0, ""))
    assert granted(gate.take(wanted("d", 3))) == ["b", "c"]
    gate.take(wanted("e", 1))
    assert gate.take(released("a")) == gate.take(released("b")) == []
    assert granted(gate.take(released("c"))) == ["d"]


def test_who_rejects_is_refused_when_all_is_taken_and_leaves_no_trace() -> None:
    gate = Gate(LIMIT)
    gate.take(wanted("a", on_limit="reject"))
    (answer,) = gate.take(wanted("b", on_limit="reject"))
    assert isinstance(answer, SlotGranted) and answer.refused == LIMIT_REACHED
    assert list(gate.entries) == [Holder("a", (), 1)]


def test_the_oldest_is_told_to_leave_once_and_the_new_one_waits_for_its_slot() -> None:
    gate = Gate(LIMIT)
    gate.take(wanted("a", on_limit="cancel_oldest"))
    (told,) = gate.take(wanted("b", on_limit="cancel_oldest"))
    assert isinstance(told, CancelRequested) and told.run == "a"
    assert gate.take(wanted("b", on_limit="cancel_oldest")) == []
    (told,) = gate.take(wanted("c", on_limit="cancel_oldest"))
    assert told.run == "b", "of those that are to stay it is the oldest"
    assert gate.take(wanted("b", on_limit="cancel_oldest")) == [], "it is on its way out"
    assert gate.take(released("b")) == []
    assert granted(gate.take(released("a"))) == ["c"]


def test_a_question_that_comes_after_its_holder_has_released_drives_out_nobody_and_holds_up_nobody() -> None:
    gate = Gate(LIMIT)
    gate.take(wanted("a", on_limit="cancel_oldest"))
    gate.take(released("a"))
    gate.take(wanted("b", on_limit="cancel_oldest"))
    gate = Gate.of_data(msgspec.msgpack.decode(msgspec.msgpack.encode(gate.as_data())))  # as the next owner finds it
    assert gate.take(wanted("a", on_limit="cancel_oldest")) == [], "a copy of its first question"
    assert granted(gate.take(released("b"))) == ["a"], "whose owner gives it back"
    gate.take(released("a"))
    assert gate.is_idle(1_000) and not gate.may_go(1_000), "it knows still who was there"
    assert gate.may_go(1_000 + REMEMBERED_MS)


def test_a_gate_knows_of_no_more_who_released_than_it_may() -> None:
    gate = Gate(LIMIT)
    for number in range(REMEMBERED_MAX + 5):
        gate.take(wanted(f"r{number}", on_limit="cancel_oldest", at=number))
        gate.take(released(f"r{number}"))
    assert len(gate._released) <= REMEMBERED_MAX


@pytest.mark.parametrize(
    "data", [[], [1, 2], ["=l", 1, False, 0, [[["r"], [0, 1]]], []], ["=l", 1, False, 0, [[["r", [], 1], [0, 1]]], []], 5, b"\xc1"]
)
def test_what_is_no_gate_is_said_to_be_unreadable(data: Any) -> None:
    with pytest.raises(UnreadableRecord):
        Gate.of_data(data)


def test_an_attempt_is_driven_out_by_a_refusal() -> None:
    gate = Gate(LIMIT)
    gate.take(SlotWanted(LIMIT, 1, "r", (4,), 1, 1, "cancel_oldest"))
    (told,) = gate.take(SlotWanted(LIMIT, 1, "r", (4, 1), 1, 1, "cancel_oldest"))
    assert isinstance(told, SlotGranted) and (told.activation, told.refused) == ((4,), SUPERSEDED)


# --- rates


def test_a_bucket_gives_its_burst_at_once_and_then_one_token_after_the_other() -> None:
    gate = Gate(LIMIT)
    turns = [answer.not_before for n in range(6) for answer in gate.take(wanted(f"r{n}", 10, per_ms=1_000, burst=3))]
    assert turns == [0, 0, 0, 1_100, 1_200, 1_300]
    assert [answer.not_before for answer in gate.take(wanted("r5", 10, at=1_250, per_ms=1_000, burst=3))] == [1_300], "asked twice"
    assert [answer.not_before for answer in gate.take(wanted("late", 10, at=9_000, per_ms=1_000, burst=3))] == [0]


def test_a_bucket_that_is_empty_refuses_who_does_not_wait_and_keeps_the_token() -> None:
    gate = Gate(LIMIT)
    for run in ("a", "b"):
        gate.take(wanted(run, 2, on_limit="reject", per_ms=1_000))
    (answer,) = gate.take(wanted("c", 2, on_limit="reject", per_ms=1_000))
    assert answer.refused == LIMIT_REACHED
    (answer,) = gate.take(wanted("c", 2, at=1_500, on_limit="reject", per_ms=1_000))
    assert not answer.refused


def test_a_bucket_is_forgotten_when_it_is_full_again() -> None:
    gate = Gate(LIMIT)
    gate.take(wanted("a", 1, per_ms=1_000))
    gate.take(released("a"))
    assert not gate.is_idle(1_500) and gate.is_idle(2_000)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), st.integers(1, 20), st.integers(1, 8), st.integers(10, 3_000))
def test_no_window_has_more_begin_than_the_rate_allows(gaps: list[int], most: int, burst: int, per_ms: int) -> None:
    gate, now, begins = Gate(LIMIT), 10_000, []
    for number, gap in enumerate(gaps):
        now += gap
        (answer,) = gate.take(wanted(f"r{number}", most, at=now, per_ms=per_ms, burst=burst))
        assert isinstance(answer, SlotGranted)
        begins.append(answer.not_before or now)
    assert begins == sorted(begins), "in the order in which they came"
    interval_ms = per_ms / most
    for number, first in enumerate(begins):
        for more, last in enumerate(begins[number:], 1):
            # A turn is told in whole milliseconds, rounded up: so a window may seem one shorter than it is.
            assert more <= burst + (last - first + 1) / interval_ms + 1e-9


# --- any order of things

ASK = st.tuples(
    st.just("ask"), st.integers(0, 30), st.integers(0, 2), st.sampled_from(["", "x", "y"]), st.sampled_from(["queue", "reject"])
)
LET_GO = st.tuples(st.just("let go"), st.integers(0, 30), st.just(0), st.just(""), st.just(""))
OLDEST = st.tuples(st.just("ask"), st.integers(0, 30), st.just(0), st.just(""), st.just("cancel_oldest"))


@given(st.lists(ASK | LET_GO | OLDEST, max_size=120), st.integers(1, 4))
@settings(max_examples=200)
def test_never_more_than_its_slots_are_held_nobody_waits_while_one_is_free_and_all_get_in(
    steps: list[tuple[str, int, int, str, str]], most: int
) -> None:
    gate = Gate(LIMIT)
    told: Counter[str] = Counter()
    for word, number, priority, fair, on_limit in steps:
        run = f"r{number}"
        record = released(run) if word == "let go" else wanted(run, most, on_limit=on_limit, priority=priority, fair=fair)
        copy = Gate.of_data(msgspec.msgpack.decode(msgspec.msgpack.encode(gate.as_data())))
        answers = gate.take(record)
        assert copy.take(decode_record(encode_record(record))) == answers  # type: ignore[arg-type]
        assert copy.as_data() == gate.as_data()
        told.update(answer.run for answer in answers if isinstance(answer, CancelRequested))
        states = Counter(entry.state for entry in gate.entries.values())
        occupied = sum(entry.occupies for entry in gate.entries.values())
        assert gate.held == occupied <= most
        assert gate.waiting == states[WAITING] == len(list(gate.in_line()))
        assert not states[WAITING] or occupied == most
        assert {holder.run for holder in gate.entries if holder.run in granted(answers)} == set(granted(answers))
    everyone = {holder.run for holder, entry in gate.entries.items() if entry.state == WAITING}
    inside = [holder.run for holder, entry in gate.entries.items() if entry.state in (HOLDING, LEAVING)]
    seen = set()
    while inside:
        inside += granted(gate.take(released(inside.pop())))
        seen.update(inside)
    assert everyone <= seen, "whoever waited got in"
    assert gate.is_idle(1_000)


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=60))
def test_keys_take_turns(keys: list[str]) -> None:
    gate = Gate(LIMIT)
    gate.take(wanted("now", fair="now"))
    line_up(gate, *((f"{key}{number}", 0, key) for number, key in enumerate(keys)))
    order = [run[0] for run in work_off(gate, "now")]
    assert Counter(order) == Counter(keys)
    for key in set(keys):
        places = [place for place, each in enumerate(order) if each == key]
        for one, other in pairwise(places):
            between = Counter(order[one + 1 : other])
            assert not between or max(between.values()) == 1, "nobody passes a key twice"
