"""Texts, bytes, maps and lists: there and back, single items, and what is no value."""

from __future__ import annotations

import array
import contextlib
import dataclasses
import datetime
import ipaddress
import mmap
import struct
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, HttpUrl

from jetfleet.broker.codecs.registry import codec_for, codec_named, from_coded, nbytes, to_coded
from jetfleet.broker.codecs.structured import ListCodec
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload import decode, encode
from jetfleet.schemas.payload_errors import PayloadCorrupt, UnknownCodec
from jetfleet.schemas.ref import Coded, Ref
from jetfleet.schemas.values import MISSING, get

from .memory import address, body_of, codec_of, picked, there_and_back

json_like = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Order(BaseModel):
    id: str
    points: list[Point] = []


@given(json_like, st.integers(0, 9))
def test_any_value_comes_back_from_any_place_in_memory(value: Any, offset: int) -> None:
    assert there_and_back(value, offset) == value


@given(st.lists(json_like, min_size=1), st.data())
def test_one_item_of_a_list_is_what_stands_there(items: list[Any], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(items) - 1))
    assert picked(items, index) == items[index]
    assert picked(items, len(items)) is MISSING


@given(st.dictionaries(st.text(max_size=3), json_like), st.lists(st.text(max_size=3) | st.integers(0, 3), max_size=3))
def test_a_path_leads_where_it_leads_in_the_value_itself(value: dict[str, Any], path: list[str | int]) -> None:
    assert picked(value, *path) == get(value, tuple(path))


def test_each_type_has_its_codec() -> None:
    found = {
        "text": "a",
        "bytes": b"a",
        "buffer": bytearray(b"a"),
    }
    assert {name: codec.name for name, value in found.items() if (codec := codec_for(value))} == {name: name for name in found}
    assert [codec_for(value) for value in ({}, [], (), 1, None, True, Point(1, 2), Order(id="a"))] == [None] * 8


def test_whatever_has_memory_is_a_buffer() -> None:
    with mmap.mmap(-1, 4) as mapped:
        mapped[:] = b"abcd"
        buffers = (bytearray(b"abcd"), memoryview(b"abcd"), array.array("B", b"abcd"), mapped, memoryview(b"a-b-c-d-")[::2])
        assert [bytes(there_and_back(buffer)) for buffer in buffers] == [b"abcd"] * 5
        assert [codec_of(buffer).name for buffer in buffers] == ["buffer"] * 5


def test_a_buffer_of_numbers_comes_back_as_its_bytes() -> None:
    assert bytes(there_and_back(array.array("d", [1.0, 2.0]))) == struct.pack("=2d", 1.0, 2.0)
    assert nbytes(array.array("d", [1.0, 2.0])) == 16


def test_what_a_buffer_is_read_as_cannot_be_written() -> None:
    codec = codec_named("buffer")
    assert codec.decode(memoryview(bytearray(b"abc")), b"").readonly


def test_bytes_and_buffers_are_written_from_their_own_memory() -> None:
    large, buffer = b"x" * 1000, bytearray(b"y" * 1000)
    assert codec_of(large).encode(large).parts[0] is large
    assert address(memoryview(codec_of(buffer).encode(buffer).parts[0])) == address(memoryview(buffer))


def test_a_buffer_is_read_where_it_lies() -> None:
    body = body_of(codec_of(b"x").encode(b"x" * 1000))
    assert address(codec_named("buffer").decode(body, b"")) == address(body)


def test_a_list_knows_how_many_items_it_has_and_hands_out_their_bytes() -> None:
    codec = ListCodec()
    encoded = codec.encode([1, "two", {"three": 3}])
    body = body_of(encoded, 5)
    assert encoded.count == 3
    assert [decode(bytes(item)) for item in codec.items(body, encoded.meta)] == [1, "two", {"three": 3}]
    assert all(address(item).start in address(body) for item in codec.items(body, encoded.meta))


def test_reading_one_item_reads_nothing_of_the_others() -> None:
    codec = ListCodec()
    encoded = codec.encode(["a" * 100, "wanted", "c" * 100])
    body = bytearray(body_of(encoded))
    body[1:100] = b"\xc1" * 99  # no msgpack: whoever looks at it fails
    assert codec.pick(memoryview(body), encoded.meta, (1,)) == "wanted"


def test_reading_one_field_of_a_large_map_reads_nothing_behind_it() -> None:
    fields = {str(n): {"id": n, "text": "x" * 100} for n in range(5_000)}
    body = bytearray(body_of(codec_named("msgpack").encode(fields)))
    assert picked(fields, "4999", "id") == 4_999
    assert picked(fields, "5000") is MISSING
    body[200_000:] = b"\xc1" * len(body[200_000:])  # no msgpack: whoever looks at it fails
    assert codec_named("msgpack").pick(memoryview(body), b"", ("3", "id")) == 3
    with pytest.raises(PayloadCorrupt):
        codec_named("msgpack").pick(memoryview(body), b"", ("4999", "id"))


def test_models_dataclasses_and_sets_become_what_a_document_can_hold() -> None:
    orders = [Order(id="a", points=[Point(1, 2)]), {"deep": Order(id="b")}]
    assert there_and_back(orders) == [{"id": "a", "points": [{"x": 1, "y": 2}]}, {"deep": {"id": "b", "points": []}}]
    assert there_and_back({"set": {1}, "tuple": (1, 2)}) == {"set": [1], "tuple": [1, 2]}


class Amount(int):
    pass


class Site(BaseModel):
    url: HttpUrl
    address: ipaddress.IPv4Address


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (pd.Timestamp("2026-01-02 03:04:05.000006", tz="UTC"), datetime.datetime(2026, 1, 2, 3, 4, 5, 6, datetime.UTC)),
        (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
        (pd.Timedelta("90s"), "PT90S"),
        (pd.NaT, None),
        (pd.NA, None),
        (pa.scalar(5), 5),
        (pa.scalar([{"a": 1}]), [{"a": 1}]),
        (Amount(7), 7),
        (Site(url="http://a.org/b", address="10.0.0.1"), {"url": "http://a.org/b", "address": "10.0.0.1"}),
        (ipaddress.ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    ],
    ids=str,
)
def test_what_libraries_give_for_a_single_value_becomes_plain(value: Any, plain: Any) -> None:
    assert there_and_back([{"value": value}]) == [{"value": plain}]


def test_refs_and_coded_values_inside_stay_what_they_are() -> None:
    ref, coded = Ref("bytes", 3, 1, host="here", count=2), Coded("bytes", b"", b"abc")
    assert there_and_back([{"far": ref, "small": coded}]) == [{"far": ref, "small": coded}]


def test_a_path_goes_on_inside_a_ref_and_inside_a_coded_value() -> None:
    ref, coded = Ref("list", 3, 1, host="here"), Coded("list", *_listed([5, {"x": 6}]))
    assert picked({"far": ref}, "far", 3, "id") == ref.at((3, "id"))
    assert picked([0, {"far": ref}], 1, "far", 3) == ref.at((3,))
    assert from_coded(picked({"small": coded}, "small", 1, "x")) == 6
    assert from_coded(picked({"small": coded}, "small", 2)) is None
    assert picked({"small": coded}, "large", 1) is MISSING


@pytest.mark.parametrize("value", ["text", b"bytes", bytearray(b"buffer")])
def test_texts_and_bytes_have_nothing_inside(value: Any) -> None:
    assert picked(value, 0) is MISSING
    assert picked(value) == value


@pytest.mark.parametrize("value", ["aé€😀", b"\x00\xff", bytearray(b"abc"), ""])
def test_a_small_value_stands_inside_a_payload(value: Any) -> None:
    small = to_coded(value)
    assert (from_coded(small) if isinstance(small, Coded) else small) == value
    assert nbytes(value) == len(codec_of(value).encode(value).body())


def test_a_value_that_has_no_bytes_is_refused_with_its_type() -> None:
    for value in (object(), {"deep": [lambda: 1]}, 1j, 2**70):
        with pytest.raises(UnencodableValue):
            codec_named("msgpack").encode(value)
    with pytest.raises(UnencodableValue, match="of class object has no form as bytes"):
        codec_named("list").encode([object()])


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnencodableValue, match="contain itself"):
        codec_named("list").encode(endless)


def test_half_a_character_is_refused_with_what_to_do() -> None:
    with pytest.raises(UnencodableValue, match="return it as bytes"):
        codec_named("text").encode("\ud800")


@given(st.binary(), st.binary(max_size=20), st.sampled_from(["msgpack", "list", "text"]), st.integers(0, 3))
def test_bytes_that_are_no_value_are_never_more_than_corrupt(body: bytes, meta: bytes, name: str, index: int) -> None:
    codec = codec_named(name)
    for read in (lambda: codec.decode(memoryview(body), meta), lambda: codec.pick(memoryview(body), meta, (index,))):
        with contextlib.suppress(PayloadCorrupt):
            read()


@given(st.integers(0, 200), st.integers(0, 255))
def test_a_list_with_a_wrong_byte_gives_no_bytes_from_outside(place: int, byte: int) -> None:
    codec = ListCodec()
    encoded = codec.encode(list(range(10)))
    body = bytearray(body_of(encoded))
    body[place % len(body)] = byte
    with contextlib.suppress(PayloadCorrupt):
        assert sum(item.nbytes for item in codec.items(memoryview(body), encoded.meta)) <= len(body)


def test_the_table_of_a_list_must_fit_into_its_body() -> None:
    meta, body = _listed([1, 2, 3])
    for wrong in (body[:-1], body + b"x", b""):
        with pytest.raises(PayloadCorrupt, match="table"):
            codec_named("list").decode(memoryview(wrong), meta)


def test_a_codec_that_nobody_knows_is_named() -> None:
    with pytest.raises(UnknownCodec, match="`parchment`"):
        codec_named("parchment")
    with pytest.raises(UnknownCodec, match="newer version"):
        from_coded(Coded("parchment", b"", b""))


def _listed(items: list[Any]) -> tuple[bytes, bytes]:
    encoded = codec_named("list").encode(items)
    return encoded.meta, encoded.body()


def test_a_text_or_bytes_that_show_themselves_as_something_else_come_back_as_what_they_are() -> None:
    class Secret(str):
        def __str__(self) -> str:
            return "***"

    class Masked(bytes):
        def __bytes__(self) -> bytes:
            return b"***"

    assert (to_coded(Secret("word")), to_coded(Masked(b"word"))) == ("word", b"word")


def test_memory_with_gaps_deep_inside_a_value_is_refused_by_type() -> None:
    for encoding in (encode, codec_named("msgpack").encode):
        with pytest.raises(UnencodableValue, match="contiguous"):
            encoding([{"a": memoryview(b"abcdef")[::2]}])
