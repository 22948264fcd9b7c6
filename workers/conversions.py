"""Conversions: from the value that arrives to the one that a node's annotation asks for, without a copy where both have the same memory.

Each takes any value and gives the wanted one, or raises Misfit saying why it cannot. Libraries are imported by the conversions to their
types: who asks for such a type has the library.
"""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path
from typing import Any

from ..broker.codecs.path import FileView
from ..broker.codecs.raw import flat
from ..broker.codecs.registry import codec_named, name_of
from .streams import ViewReader

MEMORY = frozenset(("text", "bytes", "buffer", "numpy", "file"))
"""Codecs of values that are bytes, or have memory that means the same to everybody."""


class Misfit(Exception):
    """The value is nothing that the annotation could be made from; the message says what it is and what was wanted."""


def to_memory(value: Any) -> memoryview:
    """The bytes of a text, file, array or other buffer: read-only, one dimension."""
    if name_of(value) not in MEMORY:
        raise Misfit(f"should be bytes, and is {kind(value)}")
    if isinstance(value, FileView):
        return value.body
    if name_of(value) in ("bytes", "buffer"):
        return flat(value).toreadonly()
    parts = codec_named(name_of(value)).encode(value).parts
    return memoryview(parts[0]).toreadonly() if parts else memoryview(b"")


def to_array(value: Any, dtype: type | None = None) -> Any:
    """An array: of bytes it is one of uint8. `dtype`: what the annotation says of the items (`numpy.float64`, `numpy.floating`)."""
    import numpy as np

    array = _as_array(value)
    if array.dtype.hasobject:
        raise Misfit(f"should be an array, and {kind(value)} makes one of Python objects")
    if dtype is None or issubclass(array.dtype.type, dtype):
        return array
    is_concrete = not dtype.__subclasses__()
    if isinstance(value, list) and is_concrete and np.can_cast(array.dtype, dtype, "same_kind"):
        return array.astype(dtype)  # [1, 2] in a JSON document may stand for floats
    raise Misfit(f"should be an array of {dtype.__name__}, and is one of {array.dtype}")


def to_table(value: Any) -> Any:
    import pyarrow as pa

    if isinstance(value, pa.Table):
        return value
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    if name_of(value) == "pandas":
        return pa.Table.from_pandas(value.to_frame() if value.ndim == 1 else value)
    if is_rows(value):
        return pa.Table.from_pylist(value)
    raise Misfit(f"should be a table, and is {kind(value)}")


def to_polars(value: Any) -> Any:
    import polars

    return polars.from_arrow(to_table(value))


def to_batch(value: Any) -> Any:
    """One batch; the chunks of a table that has several are joined, which copies them."""
    import pyarrow as pa

    if isinstance(value, pa.RecordBatch):
        return value
    table = to_table(value)
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def to_frame(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        return value
    if isinstance(value, pd.Series):
        return value.to_frame()
    if name_of(value) == "arrow" and hasattr(value, "column_names"):
        return value.to_pandas(split_blocks=True)
    if is_rows(value):
        return pd.DataFrame.from_records(value)
    raise Misfit(f"should be a frame, and is {kind(value)}")


def to_series(value: Any) -> Any:
    import pandas as pd

    if isinstance(value, pd.Series):
        return value
    if name_of(value) == "arrow" and not hasattr(value, "column_names"):
        return value.to_pandas()
    if isinstance(value, list) or (name_of(value) == "numpy" and value.ndim == 1):
        return pd.Series(value)
    raise Misfit(f"should be a series, and is {kind(value)}")


def to_image(value: Any) -> Any:
    """An image: also from an array of pixels, or from the bytes of an image file."""
    from PIL import Image

    if isinstance(value, Image.Image):
        return value
    if name_of(value) == "numpy":
        return Image.fromarray(value)
    if name_of(value) in ("bytes", "buffer", "file"):
        try:
            return Image.open(BufferedReader(ViewReader(to_memory(value))))
        except (OSError, Image.DecompressionBombError):
            raise Misfit("should be an image, and is bytes of no format that Pillow can read") from None
    raise Misfit(f"should be an image, and is {kind(value)}")


def kind(value: Any) -> str:
    """What a value is, in words for whoever sent it."""
    words = {"dict": "a map", "list": "a list", "str": "a text", "int": "a number", "float": "a number", "bool": "a boolean"}
    name = type(value).__name__
    if value is None:
        return "null"
    if name_of(value) in ("bytes", "buffer"):
        return "bytes"
    return "a file" if isinstance(value, (FileView, Path)) else words.get(name, f"a {name}")


def is_rows(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _as_array(value: Any) -> Any:
    import numpy as np

    if isinstance(value, np.ndarray):
        return value
    name = name_of(value)
    if name in ("bytes", "buffer", "file"):
        return np.frombuffer(memory, np.uint8) if (memory := to_memory(value)).nbytes else np.empty(0, np.uint8)
    if name == "pandas":
        return value.to_numpy()
    if name == "arrow" and not hasattr(value, "column_names"):
        return value.to_numpy() if not hasattr(value, "chunks") else _column(value)
    if name in ("image", "numpy") or isinstance(value, (list, int, float)):
        return np.asarray(value)
    raise Misfit(f"should be an array, and is {kind(value)}")


def _column(column: Any) -> Any:
    """The values of a table's column. One chunk of numbers without nulls is an array already."""
    if column.num_chunks == 1:
        return column.chunk(0).to_numpy(zero_copy_only=False)
    return column.to_numpy()
