"""Text to values with positions: YAML 1.2, and every text that is refused ends fast, at its place, with its code."""

from __future__ import annotations

import json
from math import inf, isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.schemas.errors import InvalidFlow
from jetfleet.schemas.flow.problems import Problem
from jetfleet.schemas.source.document import read
from jetfleet.schemas.source.tree import ReadLimits

MIB = 1024 * 1024


def value_of(text: str) -> Any:
    return read(f"v: {text}".encode()).value["v"]


def refusal(data: bytes | str, limits: ReadLimits | None = None) -> Problem:
    with pytest.raises(InvalidFlow) as caught:
        read(data.encode() if isinstance(data, str) else data, "f.yaml", limits)
    return caught.value.problems[-1]


def place(problem: Problem) -> tuple[str, int, int]:
    return problem.code, problem.line, problem.column


@pytest.mark.parametrize("text", ["on", "no", "yes", "Off", "12:30", "1_000", "2001-01-01", "0b1", "1e", "<<", "0o8", "=", "+", "."])
def test_what_only_yaml_1_1_converts_stays_text(text: str) -> None:
    assert value_of(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("-12", -12),
        ("+3", 3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("1.", 1.0),
        (".inf", inf),
        ("-.INF", -inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
        ("! 1", "1"),
    ],
)
def test_scalars_follow_the_core_schema_of_yaml_1_2(text: str, value: Any) -> None:
    found = value_of(text)
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_a_number() -> None:
    assert isnan(value_of(".nan"))


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read(b"{1: a, true: b, null: c, on: d}").value == {"1": "a", "true": "b", "null": "c", "on": "d"}


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="ascii", min_codepoint=32)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcdef", min_size=1, max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(
    value=st.dictionaries(st.text("abcdef", min_size=1, max_size=3), json_values, min_size=1, max_size=4),
    indent=st.sampled_from([None, 2, "\t"]),
)
def test_json_is_read_as_what_it_means(value: Any, indent: Any) -> None:
    assert read(json.dumps(value, indent=indent).encode()).value == value


def test_values_keys_and_missing_things_have_positions() -> None:
    document = read(b"nodes:\n  a:\n    type: x\nedges:\n- from: a\n  to: b\n")
    assert document.locate(("nodes", "a", "type")) == (3, 11)
    assert document.locate_key(("nodes", "a", "type")) == (3, 5)
    assert document.locate(("edges", 0, "to")) == (6, 7)
    assert document.locate(("edges", 0)) == (5, 3)
    assert document.place(("nodes", "a", "config", "condition")) == (2, 3), "a missing key is placed at its parent"
    assert document.place(("edges", 0, "nope")) == (5, 3)
    assert document.place(("triggers",)) == (1, 1)


def test_a_mapping_read_as_a_list_keeps_its_positions() -> None:
    document = read(b"triggers:\n  api:\n    type: webhook\n  odd: 3\n").with_list("triggers", "id")
    assert document.value == {"triggers": [{"id": "api", "type": "webhook"}, 3]}
    assert document.locate(("triggers", 0, "id")) == (2, 3)
    assert document.locate(("triggers", 0, "type")) == (3, 11)
    assert document.locate(("triggers", 1)) == (4, 8)


def test_an_alias_is_located_where_its_value_is_written() -> None:
    document = read(b"a: &x {k: 1}\nb: *x\n")
    assert document.value == {"a": {"k": 1}, "b": {"k": 1}}
    assert document.locate(("b", "k")) == (1, 11)


def test_merge_keys_fill_in_what_is_not_written() -> None:
    text = b"a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: *a, y: 0}\nd:\n  <<: [*a, *b]\n"
    value = read(text).value
    assert value["c"] == {"x": 1, "y": 0}
    assert value["d"] == {"x": 1, "y": 2, "z": 4}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", ("EMPTY_FILE", 1, 1)),
        ("# nothing here\n", ("EMPTY_FILE", 1, 1)),
        ("---\n", ("EMPTY_FILE", 1, 1)),
        ("- a\n- b\n", ("INVALID_TYPE", 1, 1)),
        ("just text", ("INVALID_TYPE", 1, 1)),
        (b"\x89PNG\r\n\x1a\n\xff\xfe", ("NOT_TEXT", 1, 1)),
        ("a: 1\nb: \0", ("NOT_TEXT", 2, 4)),
        ("a: ä\nb: ".encode() + b"\xe9", ("NOT_TEXT", 2, 4)),
        ("a: 1".encode("utf-16"), ("NOT_TEXT", 1, 1)),
        ("a:\n\tb: 1\n", ("TABS", 2, 1)),
        ("a:\n  b: 1\n  \tc: 2\n", ("TABS", 3, 3)),
        ("name: [unclosed", ("SYNTAX", 1, 7)),
        ("a: 1\nb: 'open\nc: 2\n", ("SYNTAX", 2, 4)),
        ("a: b: c", ("SYNTAX", 1, 5)),
        ("a: @b", ("SYNTAX", 1, 4)),
        ("a: {{ b }}", ("SYNTAX", 1, 5)),
        ("a: *nothing", ("SYNTAX", 1, 4)),
        ("a: 1\n b: 2\n", ("SYNTAX", 2, 3)),
        ("a: 1\n---\nb: 2\n", ("MULTIPLE_DOCUMENTS", 2, 1)),
        ("a: &x [1, *x]", ("ALIAS_BOMB", 1, 11)),
    ],
)
def test_a_text_without_a_tree_is_refused_at_its_place(text: str | bytes, where: tuple[str, int, int]) -> None:
    problem = refusal(text)
    assert place(problem) == where
    assert problem.hint


def test_a_key_written_twice_is_reported_and_the_first_one_counts() -> None:
    document = read(b"a: 1\nb: 2\n'a': 3\n")
    assert document.value == {"a": 1, "b": 2}
    assert [place(problem) for problem in document.problems] == [("DUPLICATE_KEY", 3, 1)]
    assert "line 1" in document.problems[0].hint


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:os.system", "!!js/function", "!!ruby/object", "!!binary", "!!set", "!include", "!ref"]
)
def test_only_core_tags_are_allowed(tag: str) -> None:
    for text in (f"a: {tag} x", f"a: {tag} {{x: 1}}", f"a: {tag} [x]", f"{tag} a: x"):
        problem = read(text.encode()).problems[0]
        assert problem.code == "UNKNOWN_TAG"
        assert tag in problem.message


def test_a_comment_may_speak_of_tags() -> None:
    assert read(b"a: 1 # never write !!python/object here\n").problems == ()


@pytest.mark.parametrize("text", ["!!int x", "!!bool 1", "99999999999999999999", "-9223372036854775809", "9" * 5000])
def test_a_scalar_that_is_no_value_of_its_type_is_reported(text: str) -> None:
    problem = read(f"a: {text}".encode()).problems[0]
    assert place(problem) == ("INVALID_VALUE", 1, 4)


def nested(text: bytes, depth: int) -> bool:
    """Whether a depth limit lets the text pass."""
    try:
        read(text, limits=ReadLimits(depth=depth))
    except InvalidFlow as error:
        assert error.problems[0].code == "LIMIT_EXCEEDED"
        return False
    return True


@pytest.mark.parametrize(
    ("text", "depth"), [(b"a: 1\nb: 2\n", 2), (b"a: {b: {c: 1}}", 4), (b"a: [1, [2, [3]]]", 5), (b"a: {}", 2), (b"a: &x [1]\nb: [*x]", 4)]
)
def test_a_scalar_counts_one_and_each_container_around_it_one_more(text: bytes, depth: int) -> None:
    assert nested(text, depth)
    assert not nested(text, depth - 1)


def bomb() -> bytes:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (level, level, b", ".join([b"*a%d" % (level - 1)] * 9)) for level in range(1, 12)]
    return b"\n".join(lines)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bomb(), "ALIAS_BOMB"),
        (b"a: " + b"[" * 200 + b"]" * 200, "LIMIT_EXCEEDED"),
        (b"".join(b"  " * level + b"a:\n" for level in range(200)), "LIMIT_EXCEEDED"),
        (b"a: " + b"{a: " * 200, "LIMIT_EXCEEDED"),
        (b"a: " + b"[" * (10 * MIB - 3), "LIMIT_EXCEEDED"),
        (b"a: " + b"x" * (10 * MIB), "LIMIT_EXCEEDED"),
        (b"a: [" + b"1," * (4 * MIB) + b"]", "LIMIT_EXCEEDED"),
    ],
    ids=[
        "billion laughs",
        "200 lists",
        "200 levels of indentation",
        "200 mappings",
        "10 MiB of brackets",
        "over 10 MiB",
        "4 million numbers",
    ],
)
def test_a_text_that_costs_too_much_is_refused(data: bytes, code: str) -> None:
    assert refusal(data).code == code


def test_ten_mebibytes_are_just_allowed() -> None:
    text = b"a: " + b"x" * (10 * MIB - 3)
    assert len(read(text).value["a"]) == 10 * MIB - 3


def test_the_size_is_checked_before_the_text_is_parsed() -> None:
    assert refusal(b"[" * 200, ReadLimits(bytes=100)).code == "LIMIT_EXCEEDED"


def test_honest_aliases_are_allowed() -> None:
    text = b"base: &base {retry: 3, tags: [a, b]}\n" + b"".join(b"n%d: *base\n" % number for number in range(1000))
    assert len(read(text).value) == 1001


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        read(data)
    except InvalidFlow as error:
        assert all(problem.line > 0 and problem.column > 0 for problem in error.problems)


@given(st.text(st.sampled_from("ab:-[]{}*&!|>'\"#?%@, \n\t1.~<"), max_size=60))
def test_any_yaml_like_text_is_read_or_refused(text: str) -> None:
    try:
        read(text.encode())
    except InvalidFlow as error:
        assert all(problem.line > 0 and problem.column > 0 and problem.message for problem in error.problems)
