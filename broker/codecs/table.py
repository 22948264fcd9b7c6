"""The codec `arrow`: tables, record batches and columns as an Arrow IPC stream; also what other libraries show as one of these.

Written from the columns' own memory: pyarrow hands its buffers to the sink as they are, so nothing is copied but the stream's small
messages. (A slice whose bits do not begin at a byte, and what pyarrow has to concatenate, is copied by pyarrow.) Read without a copy:
the columns lie in the body.

The meta says what the stream holds: `table`, `batch`, or the only column of a table: `chunked`, `array`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from ...schemas.errors import UnencodableValue
from ...schemas.payload_errors import PayloadCorrupt
from ...schemas.values import MISSING, get
from .codec import Encoded

FULLY_CHECKED_BYTES = 1 << 20
"""What travels in payloads themselves is shorter, has no checksum, and may have been made by whoever may send an event: all its places are
checked, because pyarrow follows them wherever they lead, out of the process's memory too."""


class TableCodec:
    name = "arrow"

    def encode(self, value: Any) -> Encoded:
        kind = next((kind for type, kind in _KINDS if isinstance(value, type)), None)
        if kind is None:
            value, kind = _exported(value)
        return Encoded(kind.encode(), write_stream(_AS_TABLE[kind](value)), len(value))

    def decode(self, body: memoryview, meta: bytes) -> Any:
        kind = _read_kind(meta)
        return _from_table(read_stream(body), kind)

    def pick(self, body: memoryview, meta: bytes, path: tuple[str | int, ...]) -> Any:
        return self.inside(self.decode(body, meta), path)

    def inside(self, value: Any, path: tuple[str | int, ...]) -> Any:
        """As `pick`, in the table or column itself."""
        if not path:
            return value
        return pick_row(value, path) if isinstance(value, (pa.Table, pa.RecordBatch)) else pick_item(value, path)

    def items_of(self, value: Any) -> list[Any]:
        """The rows of a table as maps, the items of a column as Python knows them."""
        found: list[Any] = value.to_pylist()
        return found


class BatchStream:
    """The bytes of a stream of batches as they come, for who writes a table that is larger than memory. `count`: rows so far."""

    def __init__(self, reader: Any) -> None:
        self._reader, self.count = reader, 0

    def __iter__(self) -> Iterator[Any]:
        """Raises what the reader raises."""
        sink = _Parts()
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), self._reader.schema) as writer:
            for batch in self._reader:
                writer.write_batch(batch)
                self.count += batch.num_rows
                yield from sink.taken()
        yield from sink.taken()


def write_stream(table: Any) -> list[Any]:
    """The parts of a table's IPC stream; those of its columns are its memory. Raises UnencodableValue."""
    sink = _Parts()
    try:
        with pa.ipc.new_stream(pa.PythonFile(sink, mode="w"), table.schema) as writer:
            writer.write(table)
    except (pa.ArrowException, OSError) as error:
        raise UnencodableValue(f"the table cannot be written: {error}") from None
    return sink.parts


def read_stream(body: memoryview) -> Any:
    """The table whose columns lie in the body. Raises PayloadCorrupt.

    What the columns' ends say is checked against the body's length; the texts' places in between up to FULLY_CHECKED_BYTES, in larger ones
    only by the checksum.
    """
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            table = reader.read_all()
        table.validate(full=body.nbytes <= FULLY_CHECKED_BYTES)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise PayloadCorrupt(f"{body.nbytes} bytes are no Arrow stream: {error}") from None
    return table


def pick_row(table: Any, path: tuple[str | int, ...]) -> Any:
    """A column by name (then an item of it by index), or a row by index as a map; MISSING if there is none."""
    step, rest = path[0], path[1:]
    if isinstance(step, int):
        if not 0 <= step < table.num_rows:
            return MISSING
        if rest and isinstance(rest[0], str):  # only that column of the row
            return pick_row(table, (rest[0], step, *rest[1:]))
        return get(_as_python(table.slice(step, 1)), rest)
    # Names may stand there twice: then no one of them is meant.
    return pick_item(table.column(step), rest) if table.schema.names.count(step) == 1 else MISSING


def pick_item(column: Any, path: tuple[str | int, ...]) -> Any:
    """A column itself, or an item of it as Python knows it; MISSING if there is none."""
    if not path:
        return column
    step, rest = path[0], path[1:]
    if not isinstance(step, int) or not 0 <= step < len(column):
        return MISSING
    return get(_as_python(column.slice(step, 1)), rest)


class _Parts(io.RawIOBase):
    """A sink that keeps what it is given: the columns' buffers themselves, and bytes of the messages between them."""

    def __init__(self) -> None:
        self.parts: list[Any] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        size = len(part)
        if size:
            self.parts.append(memoryview(part) if isinstance(part, pa.Buffer) else part)
        return size

    def taken(self) -> list[Any]:
        """The parts so far, which are forgotten here."""
        parts, self.parts = self.parts, []
        return parts


def _exported(value: Any) -> tuple[Any, str]:
    """The table, or the column, that a value of another library shows itself as. Raises UnencodableValue."""
    try:
        try:
            return pa.table(value), "table"
        except (TypeError, pa.ArrowException):  # no table: a series
            return pa.chunked_array(value), "chunked"
    except (TypeError, ValueError, pa.ArrowException) as error:
        raise UnencodableValue(f"a {type(value).__qualname__} gives no Arrow table: {error}") from None


def _from_table(table: Any, kind: str) -> Any:
    if kind == "table":
        return table
    if kind == "batch":
        batches = table.to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
    column = _only_column(table)
    return column if kind == "chunked" else column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _only_column(table: Any) -> Any:
    if table.num_columns != 1:
        raise PayloadCorrupt(f"the stream of a column has {table.num_columns}")
    return table.column(0)


def _as_python(slice: Any) -> Any:
    """The only item or row of a slice. Its places are checked first: pyarrow follows them wherever they lead."""
    try:
        slice.validate(full=True)
        return slice.to_pylist()[0]
    except (pa.ArrowException, ValueError) as error:
        raise PayloadCorrupt(f"an item of an Arrow stream cannot be read: {error}") from None


def _read_kind(meta: bytes) -> str:
    kind = meta.decode("latin-1")
    if kind not in _AS_TABLE:
        raise PayloadCorrupt(f"an Arrow stream is said to hold `{kind}`, which nobody writes")
    return kind


_KINDS: tuple[tuple[type, str], ...] = (
    (pa.Table, "table"),
    (pa.RecordBatch, "batch"),
    (pa.ChunkedArray, "chunked"),
    (pa.Array, "array"),
)
_AS_TABLE: dict[str, Callable[[Any], Any]] = {
    "table": lambda value: value,
    "batch": lambda value: pa.Table.from_batches([value]),
    "chunked": lambda value: pa.table({"value": value}),
    "array": lambda value: pa.table({"value": value}),
}
