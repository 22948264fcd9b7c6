"""NumPy arrays: every dtype and layout of memory there and back, views without copies, and what is refused."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from jetfleet.broker.codecs.array import ArrayCodec
from jetfleet.broker.codecs.registry import from_coded, nbytes, to_coded
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload_errors import PayloadCorrupt
from jetfleet.schemas.ref import Coded
from jetfleet.schemas.values import MISSING

from .memory import body_of, picked, there_and_back

Array = np.ndarray[Any, np.dtype[Any]]

scalars = npst.scalar_dtypes()
dtypes = scalars | npst.nested_dtypes(scalars, max_leaves=6)
shapes = npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def same(a: Array, b: Array) -> bool:
    """Bit for bit, also where a number is no number."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "C": lambda array: array,
    "Fortran": lambda array: np.copy(array, order="F"),
    "transposed": lambda array: array.T,
    "sharing its memory with itself": lambda array: np.broadcast_to(array, (2, *array.shape)),
    "backwards": lambda array: array[::-1] if array.ndim else array,
    "with gaps": lambda array: array[..., ::2] if array.ndim else array,
}


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    """An array of any dtype and any bytes, in one of the ways in which memory is laid out."""
    dtype, shape = draw(dtypes), draw(shapes)
    size = math.prod(shape) * dtype.itemsize
    memory = draw(st.binary(min_size=size, max_size=size))
    array: Array = np.ndarray(shape, dtype, memory) if size else np.empty(shape, dtype)
    return LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](array)


@given(arrays(), st.integers(0, 9))
def test_every_array_comes_back_bit_for_bit(array: Array, offset: int) -> None:
    assert same(there_and_back(array, offset), array)


@given(arrays())
def test_an_array_knows_its_size_and_how_many_items_it_has(array: Array) -> None:
    encoded = ArrayCodec().encode(array)
    assert encoded.nbytes == nbytes(array)
    assert encoded.count == (len(array) if array.ndim else None)


def test_an_array_in_one_piece_is_written_from_its_own_memory() -> None:
    for array in (np.arange(12.0), np.arange(12).reshape(3, 4)[1:], np.array(["2020"], "M8[D]"), np.zeros(2, [("a", "i4"), ("b", "f8")])):
        (part,) = ArrayCodec().encode(array).parts
        assert np.shares_memory(np.frombuffer(part, np.uint8), array.view(np.uint8))


def test_an_array_is_read_where_it_lies_and_cannot_be_changed() -> None:
    encoded = ArrayCodec().encode(np.arange(12.0).reshape(3, 4))
    body = body_of(encoded, 64)
    array = ArrayCodec().decode(body, encoded.meta)
    assert np.shares_memory(array, np.frombuffer(body, np.uint8))
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_an_array_from_memory_that_can_be_written_cannot_be_changed_either() -> None:
    encoded = ArrayCodec().encode(np.arange(3))
    assert not ArrayCodec().decode(memoryview(bytearray(encoded.body())), encoded.meta).flags.writeable


def test_a_subclass_comes_back_as_a_plain_array() -> None:
    records = np.rec.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    assert same(there_and_back(records).astype(records.dtype), np.asarray(records))


@pytest.mark.parametrize("value", [np.datetime64("2020-01-01", "ns"), np.complex64(1 + 2j), np.longdouble(1) / 3])
def test_a_scalar_comes_back_as_a_scalar(value: Any) -> None:
    found = there_and_back(value)
    assert type(found) is type(value)
    assert found == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [(np.float64(2.5), 2.5), (np.float32(0.5), 0.5), (np.int8(-3), -3), (np.uint64(2**64 - 1), 2**64 - 1), (np.bool_(True), True)],
)
def test_a_small_number_is_a_plain_number_in_a_payload_so_that_conditions_can_read_it(value: Any, plain: Any) -> None:
    assert to_coded(value) == plain
    assert type(to_coded(value)) is type(plain)
    assert to_coded(np.str_("text")) == "text"


def test_a_small_array_stands_coded_in_a_payload() -> None:
    small = to_coded(np.arange(3))
    assert isinstance(small, Coded)
    assert from_coded(small).tolist() == [0, 1, 2]


def test_an_item_of_an_array_is_a_number_and_a_row_is_an_array() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    assert picked(matrix, 1, 2) == 5.0
    assert type(picked(matrix, 1, 2)) is float
    assert picked(matrix, 1).tolist() == [3.0, 4.0, 5.0]
    assert picked(matrix).tolist() == matrix.tolist()


def test_an_item_of_a_structure_is_a_map_and_its_fields_have_names() -> None:
    rows = np.array([(1, "a"), (2, "b")], dtype=[("id", ">i4"), ("name", "U3")])
    assert picked(rows, 1) == {"id": 2, "name": "b"}
    assert picked(rows, 1, "name") == "b"
    assert picked(rows, "id").tolist() == [1, 2]


def test_a_row_of_an_array_lies_in_the_body() -> None:
    encoded = ArrayCodec().encode(np.arange(6.0).reshape(2, 3))
    body = body_of(encoded, 8)
    assert np.shares_memory(ArrayCodec().pick(body, encoded.meta, (1,)), np.frombuffer(body, np.uint8))


@pytest.mark.parametrize("path", [(2,), (-1,), ("name",), (0, 3), (0, 0, 0), (0, "name")])
def test_nothing_stands_beside_an_array(path: tuple[str | int, ...]) -> None:
    assert picked(np.arange(6).reshape(2, 3), *path) is MISSING


@pytest.mark.parametrize(
    ("array", "hint"),
    [
        (np.array([1, "a", None], dtype=object), "astype"),
        (np.zeros(2, [("a", object), ("b", "i4")]), "astype"),
        (np.array(["a"], dtype=np.dtypes.StringDType()), "astype"),
        (np.ma.masked_array([1, 2], mask=[True, False]), "filled"),
    ],
)
def test_arrays_that_are_more_than_bytes_are_refused_with_what_to_do(array: Array, hint: str) -> None:
    with pytest.raises(UnencodableValue, match=hint):
        ArrayCodec().encode(array)


@pytest.mark.parametrize(
    "meta",
    [
        b"",
        b"\xff",
        b"()",
        b"('<f8', (3,), False)",
        b"('<f8', (2, 2), False)",
        b"('<f8', (-1, -2), False)",
        b"('<f8', (True, 2), False)",
        b"('<f8', [2], False)",
        b"('O', (2,), False)",
        b"([('a', 'O')], (2,), False)",
        b"('i4,O', (2,), False)",
        b"('zzz', (2,), False)",
        b"(None, (2,), False)",
        b"([], (2,), False)",
        b"('<f8', (0, 9223372036854775807, 9223372036854775807), False)",
        b"('<f8', " + repr((1,) * 80).encode() + b", False)",
        b"__import__('os')",
        b"(" * 500,
    ],
)
def test_bytes_that_are_no_such_array_are_corrupt(meta: bytes) -> None:
    with pytest.raises(PayloadCorrupt):
        ArrayCodec().decode(memoryview(bytes(16)), meta)


@given(st.binary(max_size=64), st.binary(max_size=40) | st.text("()[]<>,'\"f8i4OUVM 0123456789").map(str.encode))
def test_any_bytes_are_an_array_or_corrupt(body: bytes, meta: bytes) -> None:
    with contextlib.suppress(PayloadCorrupt):
        ArrayCodec().decode(memoryview(body), meta)
