"""Matching: whether one run, as it is now, is let through by a filter.

The filter is the same SQL as in a search, over one row in memory, so the two never disagree about what a filter means.
"""

from __future__ import annotations

import sqlite3

import msgspec

from .search import compile_filter
from .views import RunRow

_ROW = ", ".join(f"? AS {column}" for column in RunRow.__struct_fields__)


class Matcher:
    """One filter at one moment: `-1h` is counted from `now_ms`. Close it after use. Raises InvalidSearch."""

    def __init__(self, where: str, now_ms: int) -> None:
        self._condition = compile_filter(where, now_ms)
        self._connection = sqlite3.connect(":memory:")

    def lets_through(self, row: RunRow) -> bool:
        sql = f"SELECT 1 FROM (SELECT {_ROW}) WHERE {self._condition.sql}"
        return self._connection.execute(sql, (*msgspec.structs.astuple(row), *self._condition.parameters)).fetchone() is not None

    def close(self) -> None:
        self._connection.close()
