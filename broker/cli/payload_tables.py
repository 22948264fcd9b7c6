"""Tables and frames as Arrow tables, for whoever prints or saves them. Needs pyarrow, as every value of these kinds does."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ..codecs.registry import codec_name

VALUE = "value"
"""What the only column of a series or an array is called, unless it has a name."""


def as_table(value: Any) -> Any:
    """The pyarrow.Table of a table, record batch, column, frame or series; with a frame's index, if that says anything."""
    if codec_name(type(value)) == "pandas":
        frame = value.to_frame(VALUE if value.name is None else str(value.name)) if not hasattr(value, "columns") else value
        return pa.Table.from_pandas(frame)
    if isinstance(value, pa.RecordBatch):
        return pa.Table.from_batches([value])
    return value if isinstance(value, pa.Table) else pa.table({VALUE: value})
