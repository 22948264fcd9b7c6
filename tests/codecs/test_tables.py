"""Arrow tables and pandas frames: there and back, columns where they lie, rows and items, and what is refused."""

from __future__ import annotations

import contextlib
import struct
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.codecs.codec import Codec
from jetfleet.broker.codecs.registry import codec_for, codec_named, from_coded, nbytes, to_coded
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload_errors import PayloadCorrupt
from jetfleet.schemas.ref import Coded
from jetfleet.schemas.values import MISSING

from .memory import address, codec_of, picked, there_and_back

ROWS = [
    {"id": 1, "name": "pen", "price": 1.5, "day": date(2026, 1, 1), "tags": ["a", "b"], "at": {"x": 1}, "cost": Decimal("1.20")},
    {"id": 2, "name": None, "price": None, "day": None, "tags": [], "at": None, "cost": None},
    {"id": 3, "name": "ink", "price": 2.5, "day": date(2026, 1, 2), "tags": None, "at": {"x": 3}, "cost": Decimal("3.40")},
]

columns = st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=20) | st.lists(st.none() | st.text(max_size=5), max_size=20)


def table() -> Any:
    return pa.Table.from_pylist(ROWS)


def large_table() -> Any:
    return pa.table({"id": np.arange(100_000), "price": np.arange(100_000) / 7, "name": ["row"] * 100_000})


def frame() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2], "name": ["pen", "ink"], "price": [1.5, 2.5]}, index=pd.Index(["p", "q"], name="key"))


@given(columns, st.integers(0, 9))
def test_any_column_comes_back_from_any_place_in_memory(values: list[Any], offset: int) -> None:
    original = pa.table({"value": pa.array(values)})
    assert there_and_back(original, offset).equals(original)


def test_a_table_comes_back_with_its_types_and_its_metadata() -> None:
    original = table().replace_schema_metadata({"source": "shop"})
    found = there_and_back(original)
    assert found.equals(original, check_metadata=True)
    assert found.to_pylist() == ROWS


def test_a_table_of_several_chunks_or_none_comes_back() -> None:
    for original in (pa.concat_tables([table(), table()]), table().slice(1, 1), table().slice(0, 0), pa.table({})):
        assert there_and_back(original, 8).equals(original)


def test_batches_columns_and_arrays_come_back_as_what_they_were() -> None:
    batch = table().to_batches()[0]
    for original in (batch, batch.slice(0, 0), table()["price"], table()["price"].combine_chunks(), pa.array([], pa.int8())):
        found = there_and_back(original)
        assert type(found) is type(original)
        assert found.equals(original)


class Exported:
    """A table as other libraries show theirs."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._value.__arrow_c_stream__(requested_schema)


class Unwilling:
    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        raise ValueError("not now")


def test_what_shows_itself_as_a_table_or_a_column_comes_back_as_one() -> None:
    assert there_and_back(Exported(table())).equals(table())
    assert there_and_back(Exported(table()["id"])).equals(table()["id"])
    assert there_and_back(table().to_reader()).equals(table())


def test_what_only_says_that_it_is_a_table_is_refused() -> None:
    with pytest.raises(UnencodableValue, match="Exported gives no Arrow table"):
        codec_of(Exported(table())).encode(Exported(Unwilling()))


def test_the_columns_of_a_table_are_written_from_their_own_memory() -> None:
    original = large_table()
    parts = [address(memoryview(part)) for part in codec_of(original).encode(original).parts if memoryview(part).nbytes > 10_000]
    wanted = [original[name].chunk(0).buffers()[-1].address for name in original.column_names]
    assert {part.start for part in parts} >= set(wanted)


def test_the_columns_of_a_table_lie_in_the_body() -> None:
    codec = codec_for(large_table())
    assert codec is not None
    encoded = codec.encode(large_table())
    body = aligned(encoded.body())
    found = codec.decode(body, encoded.meta)
    places = [buffer.address for column in found.columns for buffer in column.chunk(0).buffers() if buffer is not None]
    assert places
    assert all(place in address(body) for place in places)


def test_a_table_knows_its_rows_and_about_how_large_it_is() -> None:
    original = large_table()
    encoded = codec_of(original).encode(original)
    assert encoded.count == 100_000
    assert abs((nbytes(original) or 0) - encoded.nbytes) < 10_000


def test_a_row_is_a_map_and_an_item_is_what_python_knows() -> None:
    assert picked(table(), 0) == ROWS[0]
    assert picked(table(), 2, "id") == 3
    assert picked(table(), "name", 0) == "pen"
    assert picked(table(), 0, "tags", 1) == "b"
    assert picked(table(), 0, "at", "x") == 1
    assert picked(table(), "name").to_pylist() == ["pen", None, "ink"]
    assert picked(table()).equals(table())


@pytest.mark.parametrize("path", [(3,), (-1,), ("nobody",), ("name", 3), ("name", "x"), (0, "nobody"), (1, "at", "x"), (0, "tags", 2)])
def test_nothing_stands_beside_a_table(path: tuple[str | int, ...]) -> None:
    assert picked(table(), *path) is MISSING


def test_an_item_of_a_column_is_picked_from_the_column() -> None:
    assert picked(table()["id"], 1) == 2
    assert picked(table()["id"].combine_chunks(), 1) == 2
    assert picked(table()["id"], 3) is MISSING


def test_a_text_that_is_no_text_is_corrupt_when_it_is_picked() -> None:
    wrong = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    for path in ((0,), ("a", 0)):
        with pytest.raises(PayloadCorrupt, match="UTF8"):
            picked(pa.table({"a": wrong}), *path)


def test_an_item_that_is_said_to_lie_outside_is_corrupt_when_it_is_picked() -> None:
    far = pa.py_buffer(struct.pack("<4i", 0, 2**30, 2**30 + 1, 3))
    wrong = pa.Array.from_buffers(pa.string(), 3, [None, far, pa.py_buffer(b"abc")])
    for path in ((1,), ("a", 1), (0, "a")):
        with pytest.raises(PayloadCorrupt):
            picked(pa.table({"a": wrong}), *path)


def test_a_column_whose_name_stands_there_twice_is_no_column() -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert there_and_back(twice).equals(twice)
    assert picked(twice, "a") is MISSING


@given(st.data())
def test_a_table_with_wrong_bytes_in_its_messages_is_a_table_or_corrupt(data: st.DataObject) -> None:
    encoded = codec_of(table()).encode(table())
    body = bytearray(encoded.body())
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, 600))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PayloadCorrupt):
        codec_named("arrow").decode(memoryview(bytes(body)), encoded.meta)


@given(st.binary(max_size=200), st.sampled_from([b"table", b"batch", b"chunked", b"array", b"", b"\xff"]))
def test_any_bytes_are_no_table(body: bytes, meta: bytes) -> None:
    with pytest.raises(PayloadCorrupt):
        codec_named("arrow").decode(memoryview(body), meta)


def test_a_table_that_ends_too_early_is_corrupt() -> None:
    encoded = codec_of(large_table()).encode(large_table())
    for missing in (1, 100, 500_000):
        with pytest.raises(PayloadCorrupt):
            codec_named("arrow").decode(memoryview(encoded.body())[: -missing - 8], encoded.meta)


def test_a_stream_without_columns_is_no_column_and_no_series() -> None:
    empty = codec_of(pa.table({})).encode(pa.table({})).body()
    for name, meta in (("arrow", b"chunked"), ("arrow", b"array"), ("pandas", b"\x92\xc3\xc0")):
        for read in (reading(codec_named(name), empty, meta), reading(codec_named(name), empty, meta, 0)):
            with pytest.raises(PayloadCorrupt):
                read()


# --- pandas


def test_a_frame_comes_back_with_its_index_and_dtypes() -> None:
    original = frame().assign(
        when=pd.to_datetime(["2026-01-01", "2026-02-01"]).tz_localize("Europe/Berlin"),
        kind=pd.Categorical(["a", "b"]),
        small=np.array([1, 2], "int8"),
        perhaps=pd.array([1, None], dtype="Int64"),
    )
    pd.testing.assert_frame_equal(there_and_back(original), original)


@pytest.mark.parametrize(
    "original",
    [
        pd.DataFrame(),
        pd.DataFrame({"a": []}),
        pd.DataFrame({1: [1, 2]}),
        pd.DataFrame({1: [1], "b": [2], 2.5: [3]}),
        pd.DataFrame({"a": [1, 2, 3]})[1:],
        pd.DataFrame({"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", "n"])),
    ],
    ids=["nothing", "no rows", "a number as name", "names of several types", "a part", "an index of two"],
)
def test_frames_of_odd_shapes_come_back(original: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(there_and_back(original), original)


@pytest.mark.parametrize("name", ["price", None, 3])
def test_a_series_comes_back_with_its_name_and_index(name: Any) -> None:
    original = frame()["price"].rename(name)
    pd.testing.assert_series_equal(there_and_back(original), original)


def test_numbers_of_a_frame_lie_in_the_body() -> None:
    original = pd.DataFrame({"a": np.arange(10_000.0), "b": np.arange(10_000)})
    codec = codec_of(original)
    encoded = codec.encode(original)
    body = aligned(encoded.body())
    found = codec.decode(body, encoded.meta)
    for name in ("a", "b"):
        assert found[name].to_numpy().ctypes.data in address(body)


def test_a_column_of_a_frame_can_be_replaced() -> None:
    found = there_and_back(frame())
    found["price"] = found["price"] * 2
    assert found["price"].tolist() == [3.0, 5.0]


def test_rows_and_columns_of_a_frame_are_picked_without_its_index() -> None:
    assert picked(frame(), 1) == {"id": 2, "name": "ink", "price": 2.5}
    assert picked(frame(), 1, "name") == "ink"
    assert picked(frame(), "price", 0) == 1.5
    pd.testing.assert_series_equal(picked(frame(), "price"), frame()["price"])
    pd.testing.assert_frame_equal(picked(frame()), frame())
    assert picked(frame()["price"], 1) == 2.5
    assert [picked(frame(), *path) for path in ((2,), ("nobody",), ("key",), (0, "key"))] == [MISSING] * 4


def test_a_frame_knows_its_rows() -> None:
    assert codec_of(frame()).encode(frame()).count == 2
    assert (nbytes(frame()) or 0) >= 48
    assert (nbytes(frame()["id"]) or 0) >= 16


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"mixed": [1, "a", object()]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame({"a": [1], date(2026, 1, 1): [2]}),
        pd.Series([1], name=("a", "b")),
    ],
    ids=["mixed", "twice", "a date as name", "tuple"],
)
def test_what_has_no_arrow_form_is_refused(value: Any) -> None:
    with pytest.raises(UnencodableValue):
        codec_of(value).encode(value)


@given(st.binary(max_size=100), st.binary(max_size=10))
def test_any_bytes_are_no_frame(body: bytes, meta: bytes) -> None:
    for read in (reading(codec_named("pandas"), body, meta), reading(codec_named("pandas"), body, meta, "a")):
        with pytest.raises(PayloadCorrupt):
            read()


@pytest.mark.parametrize("value", [table(), frame()], ids=["table", "frame"])
def test_a_small_table_stands_coded_in_a_payload(value: Any) -> None:
    assert from_coded(to_coded(value)).equals(value)


def aligned(body: bytes) -> memoryview:
    """The body at a place that is aligned to 64 bytes, as in an arena."""
    memory = np.empty(len(body) + 64, np.uint8)
    start = -memory.ctypes.data % 64
    memory[start : start + len(body)] = np.frombuffer(body, np.uint8)
    return memory[start : start + len(body)].data.toreadonly()


def reading(codec: Codec, body: bytes, meta: bytes, *path: str | int) -> Any:
    return (lambda: codec.pick(memoryview(body), meta, path)) if path else (lambda: codec.decode(memoryview(body), meta))


@pytest.mark.parametrize("as_frame", [False, True])
def test_a_small_table_whose_texts_are_said_to_lie_outside_is_corrupt_before_anybody_has_it(as_frame: bool) -> None:
    # It has no checksum: whoever may send an event can make one, and reading it would end the process.
    original = table().select(["name"]).to_pandas() if as_frame else table().select(["name"])
    coded = to_coded(original)
    places = struct.pack("<4i", 0, 3, 3, 6)
    assert coded.body.count(places) == 1 or as_frame
    spoilt = coded.body.replace(places, struct.pack("<4i", 0, 2**30, 2**30, 6)).replace(
        struct.pack("<4q", 0, 3, 3, 6), struct.pack("<4q", 0, 2**40, 2**40, 6)
    )
    assert spoilt != coded.body
    with pytest.raises(PayloadCorrupt, match="Arrow stream"):
        from_coded(Coded(coded.codec, coded.meta, spoilt))
