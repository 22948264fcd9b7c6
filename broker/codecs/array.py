"""The codec `numpy`: an array's memory in C order; its dtype and shape are the meta.

A C-contiguous array is written from its own memory, any other is copied once. All dtypes whose items are bytes: numbers of either byte
order, booleans, dates, fixed-length strings, structures. Not those of Python objects. What is read is a read-only array on the body.
Subclasses come back as plain arrays; masked arrays are refused, because the mask would be lost.

The meta is the text `(dtype, shape)` in the notation of the NPY format, which NumPy keeps readable across its versions.
"""

from __future__ import annotations

import ast
import math
from functools import lru_cache
from typing import Any

import numpy as np

from ...schemas.errors import UnencodableValue
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.values import MISSING, get
from .codec import META_BYTES_MAX, Encoded

DIMENSIONS_MAX = 64
"""As many as NumPy allows."""


class ArrayCodec:
    name = "numpy"

    def encode(self, value: Any) -> Encoded:
        if isinstance(value, np.ma.MaskedArray):
            raise UnencodableValue("a masked array has no form as bytes; return value.filled(…), or its .data and .mask")
        array = np.asarray(value, order="C")
        meta = repr((_descr(array.dtype), array.shape, isinstance(value, np.generic))).encode()
        if len(meta) > META_BYTES_MAX:
            raise UnencodableValue(f"the dtype of the array has {len(array.dtype.names or ())} fields, too many; return several arrays")
        # Not array.data: dates and structures have no buffer of their own format, but single bytes always have.
        parts = (array.reshape(-1).view(np.uint8).data,) if array.nbytes else ()
        return Encoded(meta, parts, array.shape[0] if array.ndim else None)

    def decode(self, body: memoryview, meta: bytes) -> Any:
        dtype, shape, is_scalar = _read_meta(meta)
        if math.prod(shape) * dtype.itemsize != body.nbytes:
            raise PayloadCorrupt(f"an array of {dtype} with shape {shape} does not have {body.nbytes} bytes")
        try:
            # A buffer of no bytes has no address that NumPy would take.
            array = np.ndarray(shape, dtype, body) if body.nbytes else np.empty(shape, dtype)
        except (ValueError, TypeError, MemoryError, OverflowError) as error:
            raise PayloadCorrupt(f"{body.nbytes} bytes are no array of {dtype} with shape {shape}: {error}") from None
        array.flags.writeable = False
        return array[()] if is_scalar else array

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return self.inside(self.decode(body, meta), path)

    def inside(self, value: Any, path: tuple[str | int, ...]) -> Any:
        """As `pick`, in the array itself."""
        for index, step in enumerate(path):
            if not isinstance(value, (np.ndarray, np.void)):
                return get(plain(value), path[index:])
            value = _step(value, step)
            if value is MISSING:
                return MISSING
        return plain(value)

    def items_of(self, value: Any) -> list[Any]:
        """The items as Python knows them: numbers, texts, maps of a structure's fields, lists of more."""
        if value.dtype.names is not None:
            return [plain(item) for item in value]
        found: list[Any] = value.tolist() if value.ndim else []
        return found


def plain(value: Any) -> Any:
    """An item of an array as Python knows it: a number, a text, a map of a structure's fields. Arrays, and dates, stay what they are."""
    if isinstance(value, np.void) and value.dtype.names is not None:
        return {name: plain(value[name]) for name in value.dtype.names}
    if isinstance(value, np.generic) and value.dtype.kind in "biufSUV":
        item = value.item()
        return value if isinstance(item, np.generic) else item
    return value


def number(value: Any) -> Any:
    """The Python number of a NumPy scalar; MISSING if it is none, or has none of the same precision."""
    if isinstance(value, np.generic) and value.dtype.kind in "biuf" and value.dtype.itemsize <= 8:
        return value.item()
    return MISSING


def _step(value: Any, step: str | int) -> Any:
    if isinstance(step, str):
        return value[step] if step in (value.dtype.names or ()) else MISSING
    if not isinstance(value, np.ndarray) or value.ndim == 0 or not 0 <= step < value.shape[0]:
        return MISSING
    return value[step]


def _descr(dtype: np.dtype[Any]) -> Any:
    """The dtype as NPY files write it. Raises UnencodableValue for dtypes whose items are not just bytes, or that it could not name."""
    if dtype.hasobject:
        raise UnencodableValue(
            f"an array of {dtype} holds Python objects; convert it first, e.g. value.astype('float64') or value.tolist()"
        )
    descr = np.lib.format.dtype_to_descr(dtype)
    if np.lib.format.descr_to_dtype(descr) != dtype:
        raise UnencodableValue(f"an array of {dtype} has no portable form; return value.view('uint8') or another dtype")
    return descr


@lru_cache(1_024)  # the items of a split read the same meta each
def _read_meta(meta: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    try:
        descr, shape, is_scalar = ast.literal_eval(meta.decode())
        dtype = np.lib.format.descr_to_dtype(descr)
    except (ValueError, TypeError, SyntaxError, KeyError, IndexError, RecursionError, MemoryError, OverflowError) as error:
        raise PayloadCorrupt(f"the dtype and shape of an array cannot be read: {error}") from None
    # An array of objects would be one of pointers, taken from bytes.
    whole = isinstance(shape, tuple) and all(type(length) is int and length >= 0 for length in shape)
    if dtype.hasobject or not whole or len(shape) > DIMENSIONS_MAX:
        raise PayloadCorrupt(f"an array of {dtype} with shape {shape} cannot be read from bytes")
    return dtype, shape, bool(is_scalar)
