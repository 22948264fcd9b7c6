"""The rules by which values are reached, changed, converted and compared."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.schemas.errors import SelectorError
from jetfleet.schemas.values import MISSING, delete_path, equal, get, set_path, to_bool, to_number, to_text

SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(max_size=8)
KEYS = st.sampled_from(["a", "b", "c", "key with blank"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12)
PATHS = st.lists(KEYS | st.integers(0, 2), max_size=4).map(tuple)

ORDER = {"id": "o1", "items": [{"name": "pen", "tags": ["x", "y"]}], "note": None}


def test_a_path_leads_through_keys_and_indices() -> None:
    assert get(ORDER, ("items", 0, "tags", 1)) == "y"


def test_the_empty_path_is_the_value_itself() -> None:
    assert get(ORDER, ()) is ORDER


@pytest.mark.parametrize("path", [("nope",), ("items", 7), ("items", "name"), ("id", "x"), ("note", "x"), (0,)])
def test_a_path_that_leads_nowhere_is_missing(path: tuple[str | int, ...]) -> None:
    assert get(ORDER, path) is MISSING


def test_a_null_is_not_missing() -> None:
    assert get(ORDER, ("note",)) is None


def test_setting_makes_the_maps_on_the_way_and_replaces_scalars() -> None:
    assert set_path({"a": 1}, ("a", "b", "c"), 2) == {"a": {"b": {"c": 2}}}
    assert set_path(None, ("a", 0), "x") == {"a": ["x"]}


def test_setting_beyond_the_end_of_a_list_is_refused() -> None:
    with pytest.raises(SelectorError, match="beyond the end of a list of 1 items"):
        set_path([1], (5,), 2)


def test_deleting_keeps_the_siblings() -> None:
    assert delete_path({"a": {"b": 1, "c": 2}}, ("a", "b")) == {"a": {"c": 2}}
    assert delete_path({"a": [1, 2, 3]}, ("a", 1)) == {"a": [1, 3]}


def test_deleting_what_is_not_there_changes_nothing() -> None:
    assert delete_path(ORDER, ("nope", "deep")) is ORDER


@given(VALUES, PATHS, SCALARS)
def test_what_was_set_is_found_and_the_given_value_stays_as_it_was(value: Any, path: tuple[str | int, ...], new: Any) -> None:
    before = copy.deepcopy(value)
    try:
        changed = set_path(value, path, new)
    except SelectorError:
        assert any(isinstance(step, int) for step in path)
    else:
        assert get(changed, path) == new
    assert value == before


@given(VALUES, KEYS, KEYS)
def test_what_was_deleted_is_missing_and_the_given_value_stays_as_it_was(value: Any, first: str, second: str) -> None:
    before = copy.deepcopy(value)
    assert get(delete_path(value, (first, second)), (first, second)) is MISSING
    assert value == before


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (5, "5"),
        (5.0, "5.0"),
        (True, "true"),
        (None, None),
        (MISSING, None),
        (math.nan, None),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        (2**70, str(2**70)),
    ],
)
def test_the_text_of_a_value(value: Any, text: str | None) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        (2.5, 2.5),
        ("12", 12),
        ("-1.5e3", -1500.0),
        (".5", 0.5),
        (True, None),
        ("", None),
        (" 1", None),
        ("1_000", None),
        ("12a", None),
        ("nan", None),
        ("9" * 5_000, None),
        (None, None),
        ([1], None),
    ],
)
def test_the_number_of_a_value(value: Any, number: float | None) -> None:
    assert to_number(value) == number


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (True, True),
        ("YES", True),
        ("1", True),
        ("no", False),
        ("False", False),
        (0, False),
        (0.1, True),
        (None, False),
        ("maybe", None),
        ("", None),
        ([], None),
        ({"a": 1}, None),
        (MISSING, None),
    ],
)
def test_the_truth_of_a_value(value: Any, truth: bool | None) -> None:
    assert to_bool(value) is truth


def test_values_are_compared_as_text() -> None:
    assert equal(5, "5") and equal(True, "true") and equal(None, None)
    assert not equal(5, 5.0)
    assert not equal(None, "null")


def test_nothing_equals_what_is_missing() -> None:
    assert not equal(MISSING, MISSING)
    assert not equal(MISSING, None)


@given(VALUES, VALUES)
def test_conversions_take_any_value(a: Any, b: Any) -> None:
    to_text(a), to_number(a), to_bool(a)
    assert equal(a, b) == equal(b, a)
