"""Queries: what is read from the tables, as functions of a connection.

Pages go by a cursor that names the last row, not by counting: rows that come and go meanwhile make no other row appear twice or not at all,
and any reader can answer for the next page.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from ...schemas.records import Error
from .database import index_of, seq_of
from .errors import InvalidQuestion
from .fields import INTEGER_MAX, ORDERS
from .search import Condition, all_of, compile_filter, equals
from .views import LIMIT_MAX, DeadAsked, DeadRow, FlowCount, Page, PartPlace, RunFound, RunRow, RunsAsked

SEARCH_MAX_S = 5.0
_COLUMNS = (
    "id, flow, version, digest, status, trigger, partition, started_at, ended_at, duration_ms, error_type, error_message, parent, records, "
    "source"
)
_STEPS_BETWEEN_LOOKS = 10_000
_error = msgspec.msgpack.Decoder(Error)


def runs(connection: sqlite3.Connection, asked: RunsAsked, now_ms: int) -> Page[RunRow]:
    """A page of runs. Raises InvalidSearch, InvalidQuestion."""
    column, descending = _order(asked.order)
    conditions = [compile_filter(asked.where, now_ms)]
    conditions += [equals(field, value, now_ms) for field, value in (("flow", asked.flow), ("status", asked.status)) if value is not None]
    if column != "started_at":
        conditions.append(Condition(f"{column} IS NOT NULL"))
    if asked.cursor:
        conditions.append(Condition(f"({column}, id) {'<' if descending else '>'} (?, ?)", _position(asked)))
    where = all_of(conditions)
    direction = "DESC" if descending else "ASC"
    limit = _limit(asked.limit)
    sql = f"SELECT {_COLUMNS} FROM runs WHERE {where.sql} ORDER BY {column} {direction}, id {direction} LIMIT ?"
    with _in_time(connection):
        found = [RunRow(*row) for row in connection.execute(sql, (*where.parameters, limit + 1))]
    rows = found[:limit]
    return Page(rows, _cursor(asked.order, rows[-1], column) if len(found) > limit else "")


def run(connection: sqlite3.Connection, id: str) -> RunFound | None:
    """One run with the places of its journal's parts, in the order of the journal; None if it is not known."""
    found = connection.execute(f"SELECT {_COLUMNS}, output, error, trace, key FROM runs WHERE id = ?", (id,)).fetchone()
    if found is None:
        return None
    *row, output, error, trace, key = found
    places = connection.execute("SELECT place, first, records FROM parts WHERE run = ? ORDER BY first, place", (key,))
    parts = [PartPlace(seq_of(place), index_of(place), first, records) for place, first, records in places]
    return RunFound(RunRow(*row), output, None if error is None else _error.decode(error), parts, trace)


def flows(connection: sqlite3.Connection) -> list[FlowCount]:
    """How many runs each flow has, by status, in the order of their names."""
    counted: dict[str, dict[str, int]] = {}
    for flow, status, count in connection.execute("SELECT flow, status, count(*) FROM runs GROUP BY flow, status"):
        counted.setdefault(flow, {})[status] = count
    return [FlowCount(flow, statuses) for flow, statuses in sorted(counted.items())]


def dead(connection: sqlite3.Connection, asked: DeadAsked) -> Page[DeadRow]:
    """A page of dead letters, newest first."""
    limit = _limit(asked.limit)
    before = min(asked.before or INTEGER_MAX, INTEGER_MAX)
    found = connection.execute(
        "SELECT seq, kind, code, reason, subject, at, size_bytes FROM dead "
        "WHERE seq < ? AND (? IS NULL OR kind = ?) ORDER BY seq DESC LIMIT ?",
        (before, asked.kind, asked.kind, limit + 1),
    )
    rows = [DeadRow(*row) for row in found]
    return Page(rows[:limit], str(rows[limit - 1].seq) if len(rows) > limit else "")


def bury(connection: sqlite3.Connection, gone: list[int]) -> None:
    """Forget dead letters that are no longer in their stream: sent again, or deleted."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("DELETE FROM dead WHERE seq = ?", [(seq,) for seq in gone])


def _order(order: str) -> tuple[str, bool]:
    column = ORDERS.get(order.removeprefix("-"))
    if column is None:
        raise InvalidQuestion(f"runs cannot be ordered by {order!r}; there are: {', '.join(ORDERS)}, and each with a - before it")
    return column, order.startswith("-")


def _limit(limit: int) -> int:
    if not 1 <= limit <= LIMIT_MAX:
        raise InvalidQuestion(f"a page has between 1 and {LIMIT_MAX} rows, not {limit}; ask for more with the cursor")
    return limit


def _cursor(order: str, last: RunRow, column: str) -> str:
    return f"{order} {getattr(last, column)} {last.id}"


def _position(asked: RunsAsked) -> tuple[int, str]:
    """The value and id that a cursor holds. Raises InvalidQuestion for one of another list."""
    order, _, rest = asked.cursor.partition(" ")
    value, _, id = rest.partition(" ")
    if order != asked.order or not value.isdecimal() or not value.isascii() or int(value) > INTEGER_MAX:
        raise InvalidQuestion("the cursor belongs to another list; ask for the first page again")
    return int(value), id


@contextmanager
def _in_time(connection: sqlite3.Connection) -> Iterator[None]:
    """A search that reads everything must not keep the others waiting for ever."""
    deadline = time.monotonic() + SEARCH_MAX_S
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS_BETWEEN_LOOKS)
    try:
        yield
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        raise InvalidQuestion(f"the search took longer than {SEARCH_MAX_S:g} s; narrow it, by flow, status or started") from None
    finally:
        connection.set_progress_handler(None, 0)
