"""The codec `pandas`: frames and series as an Arrow stream, with their index and dtypes.

Numbers without gaps are written from the frame's memory and read from the body; texts, dates with zones and columns with nulls are copied
by pandas. A column that lies in the body is read-only: it can be replaced, but not changed in place. A column whose values are of several
types has no Arrow form.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pandas as pd
import pyarrow as pa

from ...schemas.errors import UnencodableValue
from ...schemas.messages import FAILURES
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.values import MISSING
from .codec import Encoded
from .table import pick_row, read_stream, write_stream

_COLUMN = "value"
"""What the only column is called in the stream of a series, whose own name may be anything."""


class _Meta(msgspec.Struct, array_like=True):
    """`name`: of a series. `columns`: the names of a frame's columns where they are of several types, which Arrow makes texts of."""

    is_series: bool = False
    name: str | int | float | None = None
    columns: list[str | int | float | None] | None = None


class FrameCodec:
    name = "pandas"

    def encode(self, value: Any) -> Encoded:
        meta = _meta(value)
        frame = value.to_frame(_COLUMN) if meta.is_series else value
        if meta.columns is not None:
            frame = frame.set_axis(pd.Index(map(str, meta.columns), name=frame.columns.name), axis=1)
        try:
            table = pa.Table.from_pandas(frame)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            raise UnencodableValue(f"the frame has no Arrow form: {error}; convert that column, e.g. to text, with astype") from None
        return Encoded(msgspec.msgpack.encode(meta), write_stream(table), len(value))

    def decode(self, body: memoryview, meta: bytes) -> Any:
        return _frame(read_stream(body), _read_meta(meta))

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        """A column is a series, a row a map without the index, an item what Python knows it as."""
        kind, table = _read_meta(meta), read_stream(body)
        if not path:
            return _frame(table, kind)
        if kind.is_series:
            return pick_row(_with_values(table), (_COLUMN, *path))
        columns = [name for name in table.schema.names if name not in _index_columns(table)]
        if len(path) == 1 and isinstance(path[0], str):
            return _series(table, path[0]) if path[0] in columns else MISSING
        return pick_row(table.select(columns), path)

    def items_of(self, value: Any) -> list[Any]:
        """The items of a series, the rows of a frame as maps without the index."""
        found: list[Any] = value.tolist() if isinstance(value, pd.Series) else value.to_dict("records")
        return found

    def nbytes(self, value: Any) -> int:
        """Of the frame in memory, without the texts that its columns of objects refer to."""
        usage = value.memory_usage()
        return int(usage if isinstance(value, pd.Series) else usage.sum())


def _frame(table: Any, meta: _Meta) -> Any:
    if meta.is_series:
        return _series(_with_values(table), _COLUMN).rename(meta.name)
    frame = _to_pandas(table)
    if meta.columns is not None:
        if len(meta.columns) != len(frame.columns):
            raise PayloadCorrupt(f"a frame of {len(frame.columns)} columns has {len(meta.columns)} names for them")
        frame.columns = pd.Index(meta.columns, name=frame.columns.name)
    return frame


def _with_values(table: Any) -> Any:
    """The table, if it is one of a series."""
    if table.schema.names.count(_COLUMN) != 1:
        raise PayloadCorrupt("the stream of a series has no column of values")
    return table


def _series(table: Any, name: str) -> Any:
    return _to_pandas(table.select([name, *_index_columns(table)]))[name]


def _to_pandas(table: Any) -> Any:
    try:
        # One block per column: only then may a column stay where it lies.
        return table.to_pandas(split_blocks=True)
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        raise PayloadCorrupt(f"an Arrow stream is no frame: {error}") from None


def _index_columns(table: Any) -> list[str]:
    described = (table.schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in described if isinstance(name, str)]  # a range is described, not stored


def _meta(value: Any) -> _Meta:
    if not isinstance(value, pd.Series):
        return _Meta(columns=_mixed_names(value.columns))
    if value.name is not None and type(value.name) not in (str, int, float):
        raise UnencodableValue(f"a series is called {value.name!r}; rename it to a text, e.g. value.rename('total')")
    return _Meta(True, value.name)


def _mixed_names(columns: Any) -> list[str | int | float | None] | None:
    """The names of columns, if they are of several types; None for those that Arrow keeps. Raises UnencodableValue."""
    if not columns.is_unique:
        twice = columns[columns.duplicated()][0]
        raise UnencodableValue(f"the frame has two columns that are called {twice!r}; rename one")
    if not columns.inferred_type.startswith("mixed") or isinstance(columns, pd.MultiIndex):
        return None
    odd = next((name for name in columns if name is not None and type(name) not in (str, int, float)), None)
    if odd is not None:
        raise UnencodableValue(f"a column of the frame is called {odd!r}; rename it to a text")
    return list(columns)


def _read_meta(meta: bytes) -> _Meta:
    try:
        return msgspec.msgpack.decode(meta, type=_Meta)
    except FAILURES as error:
        raise PayloadCorrupt(f"what a frame's stream holds cannot be read: {error}") from None
