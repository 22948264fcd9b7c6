"""Paths, selectors and templates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.schemas.errors import SelectorError
from jetfleet.schemas.selectors import Selector, compile_template, parse_path, parse_selector, path_text
from jetfleet.schemas.values import MISSING, get

VALUES = {"fraud_check": {"score": 0.95, "level": "HIGH", "flags": [["a", "b"]]}, "empty": None, "a-b": 1}


def find(selector: Selector) -> Any:
    return get(VALUES, (selector.root, *selector.path))


def rendered(value: Any) -> Any:
    return compile_template(value).render(find)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("$", ()),
        ("a", ("a",)),
        ("$.a.b", ("a", "b")),
        ("a[0][1].b", ("a", 0, 1, "b")),
        ("[0].x", (0, "x")),
        ("$[0]", (0,)),
        ("user name.first-name", ("user name", "first-name")),
        (" a ", ("a",)),
    ],
)
def test_a_path_takes_keys_and_indices_anywhere(text: str, path: tuple[str | int, ...]) -> None:
    assert parse_path(text) == path


@pytest.mark.parametrize("text", ["a..b", ".a", "a.", "$x", "$..a", "a[", "a[]", "a[x]", "a[-1]", "a[*]", "a.*", "a[0]b", "a]", 5, None])
def test_what_is_no_path_is_refused_with_a_hint(text: Any) -> None:
    with pytest.raises(SelectorError) as refused:
        parse_path(text)
    assert refused.value.hint


@given(st.lists(st.text("abcXYZ_09-", min_size=1) | st.integers(0, 999), max_size=5).map(tuple))
def test_the_text_of_a_path_reads_back_as_the_path(path: tuple[str | int, ...]) -> None:
    assert parse_path(path_text(path)) == path


def test_a_selector_has_a_root_and_a_path() -> None:
    selector = parse_selector(" fraud_check.flags[0][1] ")
    assert (selector.root, selector.path, selector.text) == ("fraud_check", ("flags", 0, 1), "fraud_check.flags[0][1]")
    assert str(selector) == "${fraud_check.flags[0][1]}"


@pytest.mark.parametrize("text", ["${}", "${  }", "${123invalid.field}", "${a.b", "${a b}", "${a..b}", "${a.[0]}", "${a[-1]}", "${${a}}"])
def test_a_malformed_selector_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SelectorError) as refused:
        compile_template(text)
    assert refused.value.hint


def test_an_error_leads_to_the_text_that_holds_it() -> None:
    with pytest.raises(SelectorError) as refused:
        compile_template({"headers": [{"ok": "${a}"}, {"bad": "x ${}"}]})
    assert refused.value.path == ("headers", 1, "bad")


def test_several_selectors_in_a_text_are_filled_in() -> None:
    assert rendered("Score: ${fraud_check.score}, Level: ${fraud_check.level}") == "Score: 0.95, Level: HIGH"


def test_a_text_that_is_one_selector_yields_the_value_itself() -> None:
    assert rendered("${fraud_check.score}") == 0.95
    assert rendered("${ fraud_check.flags }") is VALUES["fraud_check"]["flags"]  # type: ignore[index]


def test_what_a_selector_does_not_find_is_null_or_empty_text() -> None:
    assert rendered("${nowhere.at.all}") is None
    assert rendered("${empty}") is None
    assert rendered("<${nowhere}${empty}>") == "<>"


def test_maps_and_lists_in_a_text_are_json() -> None:
    assert rendered("flags: ${fraud_check.flags}") == 'flags: [["a","b"]]'


def test_selectors_are_found_at_any_depth_each_once_and_in_order() -> None:
    template = compile_template({"a": ["${x.y}", {"b": "${z} and ${x.y}"}], "c": 5})
    assert [selector.text for selector in template.selectors] == ["x.y", "z"]
    assert not template.constant


def test_a_doubled_dollar_is_a_literal_one() -> None:
    assert rendered("$${a.b} costs $5") == "${a.b} costs $5"
    assert rendered("$${x}: ${a-b}") == "${x}: 1"
    assert compile_template("$${a.b}").constant


def test_keys_are_no_templates() -> None:
    assert rendered({"${a-b}": "${a-b}"}) == {"${a-b}": 1}


def test_a_constant_renders_to_the_same_object() -> None:
    value = {"a": [1, {"b": None}], "c": "text"}
    template = compile_template(value)
    assert template.constant
    assert template.render(find) is template.render(find) is value


def test_rendering_leaves_the_template_as_it_was() -> None:
    template = compile_template({"a": ["${a-b}", 1]})
    template.render(find)["a"].append("changed")
    assert template.render(find) == {"a": [1, 1]}


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(SelectorError, match="nested without end"):
        compile_template(value)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=10)
)
def test_what_compiles_without_selectors_is_constant(value: Any) -> None:
    try:
        template = compile_template(value)
    except SelectorError:
        return
    assert template.constant == (not template.selectors)
    template.render(lambda selector: MISSING)
