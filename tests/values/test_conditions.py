"""Conditions: every form in circulation, every refusal."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.schemas.conditions import parse_condition, parse_field_equals, parse_path_test
from jetfleet.schemas.errors import ConditionError
from jetfleet.schemas.selectors import Selector
from jetfleet.schemas.values import get

CONFIG = {"pipeline": {"config": {"limit": 100, "word": "open", "pattern": "^A", "bad": "("}}}


def find(selector: Selector) -> Any:
    return get(CONFIG, (selector.root, *selector.path))


def holds(spec: Any, value: Any, iteration: int | None = None) -> bool:
    return parse_condition(spec).test(value, find, iteration)


@pytest.mark.parametrize(("score", "expected"), [(0.9, True), (0.7, False), (0.8, False)])
def test_greater_than_is_strict(score: float, expected: bool) -> None:
    assert holds({"type": "greater_than", "field": "score", "value": 0.8}, {"score": score}) is expected


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "greater_than", "field": "n", "value": 5},
        {"type": "field_greater_than", "field": "n", "threshold": 5},
        {"type": "FieldGreaterThan", "field": "n", "threshold": 5},
        {"type": "gt", "field": "$.n", "value": "5"},
        {"type": "greater_than", "field": "${n}", "value": 5},
        {"greater_than": {"field": "n", "value": 5}},
        {"FieldGreaterThan": {"field": "n", "threshold": 5}},
        {"type": "expression", "expression": "n > 5"},
        {"type": "Expression", "value": "${n} > 5"},
        {"expression": "$.n > 5"},
        "n > 5",
        "${n}>5",
    ],
)
def test_every_spelling_means_the_same(spec: Any) -> None:
    assert [holds(spec, {"n": n}) for n in (4, 5, 6)] == [False, False, True]


@pytest.mark.parametrize(
    ("spec", "value", "expected"),
    [
        ({"type": "equals", "field": "status", "value": "active"}, {"status": "active"}, True),
        ({"type": "field_equals", "field": "status", "value": "active"}, {"status": "idle"}, False),
        ({"type": "equals", "field": "n", "value": 5}, {"n": "5"}, True),
        ({"type": "equals", "field": "n", "value": 5}, {"n": 5.0}, False),
        ({"type": "equals", "field": "x", "value": None}, {"x": None}, True),
        ({"type": "not_equals", "field": "n", "value": 5}, {"n": 6}, True),
        ({"type": "less_than", "field": "age", "value": 30}, {"age": 29}, True),
        ({"type": "less_than", "field": "age", "value": 30}, {"age": 30}, False),
        ({"type": "less_or_equal", "field": "age", "value": 30}, {"age": 30}, True),
        ({"type": "greater_or_equal", "field": "age", "value": 30}, {"age": 29.9}, False),
        ({"type": "matches", "field": "email", "pattern": r"^[\w.]+@\w+\.\w+$"}, {"email": "a.b@c.de"}, True),
        ({"type": "field_matches", "field": "email", "value": "@"}, {"email": "nobody"}, False),
        ({"type": "matches", "field": "code", "pattern": "2"}, {"code": 123}, True),
        ({"type": "always"}, {}, True),
        ("always", None, True),
    ],
)
def test_the_structured_forms(spec: Any, value: Any, expected: bool) -> None:
    assert holds(spec, value) is expected


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("${score} > 0.5", {"score": 0.6}, True),
        ('${status} == "success"', {"status": "success"}, True),
        ("${status} = 'success'", {"status": "success"}, True),
        ("status == success", {"status": "success"}, True),
        ("status != success", {"status": "success"}, False),
        ("${is_valid}", {"is_valid": True}, True),
        ("is_valid", {"is_valid": "no"}, False),
        ('result.status == "ok"', {"result": {"status": "ok"}}, True),
        ("items[1].n >= 2", {"items": [{"n": 1}, {"n": 2}]}, True),
        ("${count} >= 10", {"count": 10}, True),
        ("${count} >= 10", {"count": 15}, True),
        ("${count} >= 10", {"count": 5}, False),
        ("n <= -2.5", {"n": -3}, True),
        ('text == "a >= b"', {"text": "a >= b"}, True),
        ('text == ""', {"text": ""}, True),
        ("flag == true", {"flag": True}, True),
        ("$ > 3", 4, True),
    ],
)
def test_expressions(text: str, value: Any, expected: bool) -> None:
    assert holds(text, value) is expected


@pytest.mark.parametrize("spec", ["n > 5", "n < 5", "n >= 5", "n <= 5", "n == 5", "n", {"type": "matches", "field": "n", "pattern": ""}])
def test_a_missing_field_makes_every_condition_false(spec: Any) -> None:
    assert holds(spec, {"m": 1}) is False


def test_except_that_a_missing_field_differs_from_everything() -> None:
    assert holds("n != 5", {}) is True


@pytest.mark.parametrize("spec", ["n != 5", "$", {"type": "equals", "field": "$", "value": None}])
def test_a_null_value_makes_every_condition_false(spec: Any) -> None:
    assert holds(spec, None) is False


@pytest.mark.parametrize("n", ["five", None, True, [9], {"x": 9}])
def test_an_order_holds_between_numbers_only(n: Any) -> None:
    assert holds("n > 1", {"n": n}) is False


def test_a_field_may_be_compared_with_another_one() -> None:
    assert holds("${paid} >= ${price}", {"paid": 10, "price": 9}) is True
    assert holds("paid == ${price}", {"paid": 10}) is False


def test_the_right_side_may_come_from_the_flow_config() -> None:
    condition = parse_condition({"type": "greater_than", "field": "amount", "value": "${pipeline.config.limit}"})
    assert [selector.text for selector in condition.selectors] == ["pipeline.config.limit"]
    assert [condition.test({"amount": amount}, find) for amount in (100, 101)] == [False, True]
    assert holds("amount > ${pipeline.config.limit}", {"amount": 101}) is True
    assert holds({"type": "equals", "field": "s", "value": "re${pipeline.config.word}"}, {"s": "reopen"}) is True
    assert holds({"type": "matches", "field": "s", "pattern": "${pipeline.config.pattern}"}, {"s": "Abc"}) is True


def test_a_bad_pattern_from_the_flow_config_makes_the_condition_false() -> None:
    assert holds({"type": "matches", "field": "s", "pattern": "${pipeline.config.bad}"}, {"s": "("}) is False


def test_a_selector_that_finds_no_number_makes_the_condition_false() -> None:
    assert holds("amount > ${pipeline.config.nothing}", {"amount": 1}) is False


def test_in_a_loop_iteration_is_the_counter() -> None:
    assert [holds("${iteration} >= 3", {}, n) for n in range(5)] == [False, False, False, True, True]
    assert holds("${iteration} >= 3", None, 3) is True


def test_outside_of_a_loop_iteration_is_a_field() -> None:
    assert holds("${iteration} >= 3", {"iteration": 4}) is True
    assert holds("iteration >= 3", {"iteration": 4}, 0) is True


def test_a_loop_ends_when_a_field_is_true_or_false() -> None:
    assert parse_path_test("result.done", True).test({"result": {"done": "yes"}}, find) is True
    assert parse_path_test({"field": "more"}, False).test({"more": False}, find) is True
    assert parse_path_test("${more}", False).test({"more": 1}, find) is False


@pytest.mark.parametrize("wanted", [True, False])
def test_a_missing_field_ends_no_loop(wanted: bool) -> None:
    assert parse_path_test("done", wanted).test({}, find) is False


def test_a_loop_ends_when_a_field_equals_a_value() -> None:
    until = parse_field_equals({"field": "state.name", "value": "ready"})
    assert until.test({"state": {"name": "ready"}}, find) is True
    assert until.test({"state": {}}, find) is False


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"type": "sometimes", "field": "a", "value": 1}, "unknown condition `sometimes`"),
        ({"field": "a", "value": 1}, "no `type`"),
        ({"type": 7}, "unknown condition `7`"),
        ({"type": "equals", "value": 1}, "needs a `field`"),
        ({"type": "equals", "field": "a"}, "needs `value`"),
        ({"type": "equals", "field": "a", "value": 1, "values": 2}, "no key `values`"),
        ({"type": "greater_than", "field": "a", "value": 1, "threshold": 2}, "mean the same"),
        ({"type": "greater_than", "field": "a", "value": "many"}, "compares numbers"),
        ({"type": "greater_than", "field": "a..b", "value": 1}, "is no path"),
        ({"type": "matches", "field": "a", "pattern": "("}, "no regular expression"),
        ({"type": "matches", "field": "a", "pattern": r"(a)\1"}, "no regular expression"),
        ({"type": "matches", "field": "a", "pattern": 5}, "must be a text"),
        ({"type": "equals", "field": "a", "value": "${}"}, "is empty"),
        ({"type": "expression", "expression": 5}, "must be a text"),
        ({"type": "always", "field": "a"}, "no key `field`"),
        ("", "is empty"),
        ("${}", "is empty"),
        ("> 5", "does not begin with a field"),
        ("a >", "ends after its operator"),
        ("a => 5", "unknown operator `=>`"),
        ("a === 5", "unknown operator `===`"),
        ("a && b", "unknown operator `&&`"),
        ("a b", "an operator was expected"),
        ("len(a) > 3", "an operator was expected"),
        ("a > many", "no number"),
        ("a > 5 and b < 3", "more than one literal"),
        ('a == "x" and b == "y"', "exactly one text"),
        ("a == x || b", "more than one literal"),
        ('a == "x', "exactly one text"),
        (True, "not `True`"),
        (None, "not nothing"),
        ([], "not a list"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_hint(spec: Any, message: str) -> None:
    with pytest.raises(ConditionError) as refused:
        parse_condition(spec)
    assert message in str(refused.value)
    assert refused.value.hint


def test_a_pattern_takes_linear_time() -> None:
    assert holds({"type": "matches", "field": "s", "pattern": "^(a+)+$"}, {"s": "a" * 5_000 + "b"}) is False


def test_a_condition_shows_what_it_asks() -> None:
    assert str(parse_condition({"type": "field_greater_than", "field": "$.a.b", "threshold": 5})) == "a.b > 5"
    assert str(parse_condition({"type": "equals", "field": "s", "value": "x"})) == 's == "x"'
    assert str(parse_condition(" n > 5 ")) == "n > 5"


ANY = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda v: st.lists(v) | st.dictionaries(st.text("abn"), v)
)
SPECS = st.sampled_from(
    [
        "n > 1",
        "n != x",
        "n",
        "a.b[0] == 1",
        "n < ${a}",
        {"type": "matches", "field": "n", "pattern": "x"},
        {"type": "equals", "field": "a", "value": {}},
    ]
)


@given(SPECS, ANY)
def test_a_test_never_raises(spec: Any, value: Any) -> None:
    assert holds(spec, value) in (True, False)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        condition = parse_condition(text)
    except ConditionError as refused:
        assert str(refused)
    else:
        assert condition.test({"a": 1}, find) in (True, False)
