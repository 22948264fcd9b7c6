"""What people and programs see of values that JSON has no form for."""

from __future__ import annotations

import json
from typing import Any

import numpy
import pandas
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jetfleet.broker.cli.printing import as_json, as_text
from jetfleet.broker.codecs.registry import to_coded
from jetfleet.schemas.ref import Coded, Ref

META = b"('<f8', (1000, 3), False)"
REF = Ref("numpy", 24_000, 7, "host-1f", "w-1", 2, 4160, meta=META, count=1000)


def test_a_ref_says_what_it_leads_to() -> None:
    assert json.loads(as_json(REF)) == {
        "$ref": "ref:host-1f/w-1/2/4160", "codec": "numpy", "bytes": 24_000, "count": 1000, "what": "float64[1000,3]",
    }  # fmt: skip
    assert as_text(REF) == "‹numpy float64[1000,3], 23.4 KiB, ref:host-1f/w-1/2/4160›"


def test_a_ref_to_a_part_does_not_pretend_to_know_the_part() -> None:
    part = REF.at((3, "x"))
    assert json.loads(as_json(part)) == {"$ref": "ref:host-1f/w-1/2/4160[3].x", "codec": "numpy", "bytes": 24_000}
    assert as_text(part) == "‹numpy, a part of 23.4 KiB, ref:host-1f/w-1/2/4160[3].x›"


def test_a_list_says_how_many_items_it_has() -> None:
    assert as_text(Ref("list", 100_000, 0, digest="ab" * 32, count=1)) == "‹list with 1 item, 97.7 KiB, ref:abababababab›"


def test_refs_are_shown_wherever_they_stand() -> None:
    value = {"n": 1, "rows": [{"a": REF}, REF], "text": "x"}
    shown = json.loads(as_json(value))
    assert (shown["n"], shown["text"]) == (1, "x")
    assert shown["rows"][0]["a"] == shown["rows"][1] == json.loads(as_json(REF))
    assert as_text(value) == f'{{"n":1,"rows":[{{"a":"{as_text(REF)}"}},"{as_text(REF)}"],"text":"x"}}'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (numpy.zeros((2, 3), ">i2"), "‹numpy int16[2,3], 12 bytes›"),
        (numpy.zeros(2, "M8[s]"), "‹numpy <M8[s][2], 16 bytes›"),
        (numpy.zeros(2, [("a", "i4"), ("b", "f4")]), "‹numpy (a,b)[2], 16 bytes›"),
        (numpy.zeros(2, bool), "‹numpy bool[2], 2 bytes›"),
    ],
)
def test_small_arrays_that_travel_along_are_shown_by_dtype_and_shape(value: Any, shown: str) -> None:
    assert as_text(to_coded(value)) == shown


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (numpy.zeros((2, 3)), "float64[2,3]"),
        (pyarrow.table({"a": [1, 2], "b": [3, 4]}), "2 × 2"),
        (pandas.DataFrame({"a": [1, 2]}), "2 × 1"),
        (Image.new("RGB", (30, 20)), "RGB 30×20"),
    ],
)
def test_values_that_are_here_are_shown_by_what_they_are(value: Any, what: str) -> None:
    shown = json.loads(as_json({"it": value}))["it"]
    assert shown["what"] == what
    assert shown["bytes"] > 0


def test_bytes_stay_base64_and_odd_numbers_null() -> None:
    assert json.loads(as_json({"b": b"abc", "n": float("nan")})) == {"b": "YWJj", "n": None}


def test_a_value_that_is_nested_too_deeply_is_said_to_be() -> None:
    value: list[Any] = []
    for _ in range(5_000):
        value = [value]
    assert "too deeply" in as_json(value)


texts = st.text(max_size=20)
refs = st.builds(
    Ref, texts, st.integers(0, 2**62), st.integers(0, 2**32 - 1), texts, texts, meta=st.binary(max_size=40) | st.just(META),
    count=st.none() | st.integers(0, 2**40), digest=texts, path=st.lists(texts | st.integers(0, 99), max_size=3).map(tuple),
)  # fmt: skip
codeds = st.builds(Coded, texts | st.just("numpy"), st.binary(max_size=40), st.binary(max_size=40))


@given(st.recursive(refs | codeds | st.none() | st.integers() | texts, lambda inner: st.lists(inner) | st.dictionaries(texts, inner)))
def test_whatever_a_ref_says_of_itself_it_can_be_shown(value: Any) -> None:
    json.loads(as_json(value))
    as_text(value)
