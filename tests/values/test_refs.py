"""Refs among values: they can be reached and handed on, and whoever has to look into one says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jetfleet.schemas import payload as payloads
from jetfleet.schemas.conditions import parse_condition
from jetfleet.schemas.errors import UnreadablePayload
from jetfleet.schemas.payload import decode, encode, find, ref_of
from jetfleet.schemas.ref import Coded, Ref, ValueElsewhere, may_hold_ref
from jetfleet.schemas.selectors import compile_template
from jetfleet.schemas.values import MISSING, deep_merge, delete_path, equal, get, set_path, to_bool, to_number, to_text

REF = Ref("list", 1_000, 7, "host-a", "w1", 3, 4_096, b"meta", 10, run="r1", activation=(2, 0), again=True)
CODED = Coded("numpy", b"meta", b"the array")


def test_a_ref_and_a_coded_value_come_back_from_a_payload_wherever_they_stand() -> None:
    value = {"rows": REF, "deep": [{"x": REF.at((3, "id"))}, CODED, CODED.at((1,))]}
    assert decode(encode(value)) == value
    assert payloads.refs_in(encode(value)) == [REF, REF.at((3, "id"))]


@pytest.mark.parametrize("value", [REF, CODED, CODED.at((3,)), Coded("numpy", b"", b"x" * 70_000, count=3)])
def test_a_payload_that_is_nothing_but_a_ref_or_a_coded_value_is_known_as_one(value: Ref | Coded) -> None:
    assert ref_of(encode(value)) == value
    assert ref_of(encode([value])) is None and ref_of(b"") is None
    inside = find(encode({"x": value}), ("x", 7))
    assert inside is not None and decode(inside) == value.at((7,))


def test_a_path_goes_on_into_a_ref_and_into_a_coded_value() -> None:
    value = {"rows": [REF, CODED]}
    assert get(value, ("rows", 0, 3, "id")) == REF.at((3, "id")) and REF.at((3, "id")).count is None
    assert get(value, ("rows", 1, 5)) == CODED.at((5,))
    for path in (("rows", 0, 3, "id"), ("rows", 1, 5), ("rows", 0), ("rows",), ("none",), ("rows", 2)):
        found = find(encode(value), path)
        assert (MISSING if found is None else decode(found)) == get(value, path), path


LOOKS: list[Callable[[Any], Any]] = [
    to_text,
    to_number,
    to_bool,
    lambda value: to_text({"in a map": [value]}),
    lambda value: equal(value, 5),
    lambda value: equal(5, [value]),
    lambda value: set_path(value, ("a",), 1),
    lambda value: set_path({"a": value}, ("a", 0), 1),
    lambda value: delete_path({"a": value}, ("a", "b")),
    lambda value: deep_merge([{"a": 1}, value]),
    lambda value: deep_merge([{"a": value}, {"a": {}}]),
    lambda value: compile_template("a text with ${it}").render(lambda selector: value),
]


@pytest.mark.parametrize("look", LOOKS)
def test_looking_into_a_ref_says_which_one(look: Callable[[Any], Any]) -> None:
    with pytest.raises(ValueElsewhere) as raised:
        look(REF)
    assert raised.value.ref == REF


@pytest.mark.parametrize(
    "condition", ["x > 1", "x < 1", "x == 1", "x != 1", "x", "y == ${x}", {"type": "matches", "field": "x", "pattern": "a"}]
)
def test_no_condition_guesses_what_a_ref_holds(condition: Any) -> None:
    for elsewhere in (REF, REF.at((1,)), CODED.at((1,))):
        with pytest.raises(ValueElsewhere):
            parse_condition(condition).test({"x": elsewhere, "y": 1}, lambda selector: None)


def test_a_condition_that_looks_beside_a_ref_is_decided() -> None:
    assert parse_condition("y == 1").test({"x": REF, "y": 1}, lambda selector: None)
    assert parse_condition("always").test(REF, lambda selector: None)
    assert not parse_condition("z == 1").test({"x": REF}, lambda selector: None)


def test_a_whole_coded_value_is_no_text_no_number_and_no_truth() -> None:
    assert (to_text(CODED), to_number(CODED), to_bool(CODED)) == (None, None, None)
    assert not parse_condition("x == 1").test({"x": CODED}, lambda selector: None)


def test_values_that_nobody_has_to_look_into_pass() -> None:
    assert set_path({"a": 1}, ("b",), REF) == {"a": 1, "b": REF}
    assert set_path({"a": REF}, ("a",), 1) == {"a": 1}
    assert delete_path({"a": REF, "b": 1}, ("a",)) == {"b": 1}
    assert deep_merge([{"a": REF}, {"b": REF}, {"a": 1}]) == {"a": 1, "b": REF}
    assert compile_template({"rows": "${it}"}).render(lambda selector: REF) == {"rows": REF}


@pytest.mark.parametrize("ref", [REF, Coded("numpy", b"meta", b"the array", count=10)])
def test_a_list_elsewhere_or_in_a_coded_value_is_walked_as_one_at_hand_is(ref: Ref | Coded) -> None:
    cursor = payloads.cursor(encode(ref), position=7)
    assert (cursor.total, cursor.position) == (10, 7)
    assert ref_of(cursor.next(1)) == ref.at((7,))
    assert decode(payloads.list_header(2) + cursor.next(2)) == [ref.at((8,)), ref.at((9,))]
    assert cursor.position == cursor.total


@pytest.mark.parametrize("ref", [REF.replace(count=None), REF.at((3,)), REF.replace(path=(3,)), CODED, CODED.at((3,))])
def test_what_is_not_known_to_be_a_list_is_not_walked(ref: Ref | Coded) -> None:
    with pytest.raises(UnreadablePayload, match="not known to be a list"):
        payloads.cursor(encode(ref))


@pytest.mark.parametrize(
    "changes", [{"host": "*"}, {"host": "a.b"}, {"host": "a b"}, {"digest": ">"}, {"digest": "ab\n"}, {"host": "x" * 65}]
)
def test_a_ref_that_would_lead_to_other_subjects_is_no_readable_value(changes: dict[str, str]) -> None:
    forged = encode({"rows": REF.replace(**changes)})
    with pytest.raises(UnreadablePayload, match="cannot be one"):
        decode(forged)
    with pytest.raises(UnreadablePayload, match="cannot be one"):
        payloads.refs_in(forged)


def test_a_ref_that_leads_nowhere_is_no_readable_value() -> None:
    nowhere = encode({"rows": REF.replace(host="", digest="")})
    with pytest.raises(UnreadablePayload, match="neither a host nor a digest"):
        decode(nowhere)
    assert not payloads.is_readable(nowhere)


def test_a_ref_with_a_very_long_meta_is_seen_without_decoding() -> None:
    ref = REF.replace(meta=bytes(0xFFFF))
    assert may_hold_ref(encode([ref])) and payloads.refs_in(encode([ref])) == [ref]
