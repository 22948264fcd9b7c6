"""Filters: what they find, what they say when they cannot be read, and that nothing of them becomes SQL."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.read_model import queries
from jetfleet.broker.read_model.changes import Changes
from jetfleet.broker.read_model.database import Database
from jetfleet.broker.read_model.errors import InvalidSearch
from jetfleet.broker.read_model.fields import FIELDS
from jetfleet.broker.read_model.matching import Matcher
from jetfleet.broker.read_model.search import COMPARISONS_MAX, DEPTH_MAX, LENGTH_MAX, OPERATORS, compile_filter
from jetfleet.broker.read_model.views import RunsAsked
from jetfleet.broker.read_model.writer import write
from jetfleet.schemas import messages
from jetfleet.schemas.codec import encode_batch
from jetfleet.schemas.messages import Part, Summary
from jetfleet.schemas.payload import NULL
from jetfleet.schemas.records import Error, RunStarted

NOW = 1_750_000_000_000
MINUTE, HOUR = 60_000, 3_600_000

RUNS = {
    "quick": Summary("orders", "1.0", "d1", "completed", "api", NOW - 10 * MINUTE, NOW - 10 * MINUTE + 250, records=4),
    "slow": Summary("orders", "1.0", "d1", "completed", "api", NOW - 2 * HOUR, NOW - 2 * HOUR + 90_000, records=40),
    "late": Summary(
        "orders", "1.1", "d2", "failed", "cron", NOW - 3 * HOUR, NOW - 3 * HOUR + 5_000, NULL, Error("timeout", "took 100% of it")
    ),
    "mail_1": Summary(
        "mails", "1.0", "d3", "failed", "api", NOW - HOUR, NOW - HOUR + 1, NULL, Error("smtp", "No such User"), parent="quick"
    ),
    "stopped": Summary("mails", "1.0", "d3", "cancelled", "api", NOW - 40 * 24 * HOUR, NOW - 40 * 24 * HOUR + 7_200_000),
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    """The runs above, and `open`, which goes on."""
    opened = Database(tmp_path_factory.mktemp("read model"))
    connection = opened.writer()
    changes = Changes(4, {})
    for number, (run, summary) in enumerate(RUNS.items()):
        changes.take("HISTORY", number + 1, "history.x", messages.encode_all([Part(run, 0, [], summary)]))
    changes.take("WAL_0", 1, "wal.0", encode_batch([RunStarted("open", NOW - 5_000, "orders", "d2", "api")]))
    write(connection, changes)
    yield connection
    connection.close()
    opened.close()


def found(database: sqlite3.Connection, text: str) -> set[str]:
    condition = compile_filter(text, NOW)
    return {id for (id,) in database.execute(f"SELECT id FROM runs WHERE {condition.sql}", condition.parameters)}


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("", {*RUNS, "open"}),
        ("flow = mails", {"mail_1", "stopped"}),
        ("flow=mails and status=failed", {"mail_1"}),
        ("flow = mails AND NOT status = failed", {"stopped"}),
        ("status = open", {"open"}),
        ("status = ended and flow = orders", {"quick", "slow", "late"}),
        ("status != ended", {"open"}),
        ("status = failed or status = cancelled", {"late", "mail_1", "stopped"}),
        ("flow = orders and (version = 1.1 or duration > 1m)", {"slow", "late"}),
        ("flow = orders and version = 1.1 or duration > 1m", {"slow", "late", "stopped"}),
        ("started > -1h", {"quick", "open"}),
        ("started > -1.5h and started <= -1h", {"mail_1"}),
        ("started < 2025-05-10", {"stopped"}),
        ("started < 2025-05-10T12:00+02:00", {"stopped"}),
        (f"started >= {NOW - 5_000}", {"open"}),
        ("duration >= 250ms and duration < 5s", {"quick"}),
        ("duration = 5s", {"late"}),
        ("duration >= 2h", {"stopped"}),
        ("not duration >= 0ms", {"open"}),
        ("records > 3", {"quick", "slow"}),
        ("error ~ timeout", {"late"}),
        ("error ~ user", {"mail_1"}),
        ("error = smtp", {"mail_1"}),
        ("error !~ e and status = ended", {"quick", "slow", "stopped"}),
        ("not error ~ e and status = ended", {"quick", "slow", "stopped"}),
        ("error ~ 100%", {"late"}),
        ("error ~ 1%0", set()),
        ("id ~ mail_", {"mail_1"}),
        ("id ~ l_", {"mail_1"}),
        ("trigger = cron", {"late"}),
        ("parent = quick", {"mail_1"}),
        ("parent != quick and flow = mails", {"stopped"}),
        ('id = "slow"', {"slow"}),
        (r'id = "no\"body" or id = "sl\ow"', {"slow"}),
        ('id = "\'; DROP TABLE runs; --"', set()),
        ("((((id = slow))))", {"slow"}),
        ("not not id = slow", {"slow"}),
        ("id = mail*", {"mail_1"}),
        ("flow = m*", {"mail_1", "stopped"}),
        ('id = "mail*"', set()),
        ("flow = m* and id != mail*", {"stopped"}),
        ("parent != quic* and flow = mails", {"stopped"}),
        ("id = sl*w", set()),
        ("id = fork~1f or id = slow", {"slow"}),
        ("id=fork~* or id~slo", {"slow"}),
    ],
)
def test_a_filter_finds_what_it_says_in_lists_and_of_one_run(database: sqlite3.Connection, text: str, runs: set[str]) -> None:
    assert found(database, text) == runs
    matcher = Matcher(text, NOW)
    rows = queries.runs(database, RunsAsked(limit=100), NOW).rows
    assert {row.id for row in rows if matcher.lets_through(row)} == runs
    matcher.close()


@pytest.mark.parametrize(
    ("text", "reason", "column"),
    [
        ("flow", "an operator is missing after 'flow'", 5),
        ("flow =", "a value is missing after '='", 7),
        ("flow = and", "", 0),
        ("flow = x y = z", "'y' cannot stand here", 10),
        ("flow = x and", "a field is missing", 13),
        ("flow = x and or", "there is no field 'or'", 14),
        ("flw = x", "there is no field 'flw'; there are: id, flow", 1),
        ("(flow = x", "the bracket of column 1 is not closed", 10),
        ("flow = x)", "')' cannot stand here", 9),
        ('flow = "x', "the quote is not closed", 8),
        ("flow ! x", "'!' cannot stand here", 6),
        ("= x", "'=' is no field", 1),
        ("status = done", "no run has the status 'done'", 10),
        ("status > failed", "a status cannot be compared by '>'", 10),
        ("flow > x", "a text cannot be compared by '>'", 8),
        ("duration = 5", "'5' is no duration; write e.g. 250ms", 12),
        ("duration ~ 5", "only texts can be searched with ~", 12),
        ("duration > 999999999999999d", "is longer than can be counted", 12),
        ("started > yesterday", "'yesterday' is no time", 11),
        ("started > -1y", "'1y' is no duration", 11),
        ("records > many", "'many' is no number", 11),
        ("records > 99999999999999999999", "is no number", 11),
        ("id = a\0b", "a character that no field can hold", 1),
        ("id = \ud800", "a character that no field can hold", 1),
        ("not " * (DEPTH_MAX + 1) + "id = x", f"more than {DEPTH_MAX} deep", 81),
        ("(" * 1_000, f"more than {DEPTH_MAX} deep", 21),
        ("x" * (LENGTH_MAX + 1), f"more than {LENGTH_MAX}", LENGTH_MAX + 1),
        (" or ".join(["id=x"] * (COMPARISONS_MAX + 1)), f"more than {COMPARISONS_MAX} comparisons", 801),
    ],
)
def test_a_filter_that_cannot_be_read_is_pointed_at(text: str, reason: str, column: int) -> None:
    if not reason:  # `and` is a fine value
        compile_filter(text, NOW)
        return
    with pytest.raises(InvalidSearch, match=re.escape(reason)) as refused:
        compile_filter(text, NOW)
    assert refused.value.column == column
    assert refused.value.code == "INVALID_SEARCH"


def test_a_filter_as_large_as_allowed_is_answered(database: sqlite3.Connection) -> None:
    assert found(database, " or ".join(["id = slow"] * COMPARISONS_MAX)) == {"slow"}
    assert found(database, "not " * (DEPTH_MAX - 2) + "id = slow") == {"slow"}
    nested = "id = slow"
    for _ in range((DEPTH_MAX - 1) // 2):
        nested = f"id = x or id = slow and not ({nested})"
    assert found(database, nested) <= {"slow"}


COLUMNS = sorted({column for field in FIELDS.values() for column in field.columns}, key=len, reverse=True)
VOCABULARY = re.compile(
    rf"(?:{'|'.join(COLUMNS)}|status|coalesce|AND|OR|NOT|IN|LIKE|IS|TRUE|NULL|ESCAPE '\\'|''|<>|<=|>=|[<>=?(), 01])*",
)
WORDS = st.one_of(
    st.sampled_from(
        [*FIELDS, *OPERATORS, "and", "or", "not", "(", ")", "open", "failed", "-1h", "5s", "2026-01-01", "7", '"', "'", ";--", "\\"]
    ),
    st.text(max_size=6),
)


@given(st.one_of(st.text(max_size=80), st.lists(WORDS, max_size=12).map(" ".join)))
def test_whatever_is_written_is_a_filter_or_a_typed_error_and_never_sql(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    try:
        condition = compile_filter(text, NOW)
    except InvalidSearch as refused:
        assert 1 <= refused.column <= len(text) + 1
        return
    assert VOCABULARY.fullmatch(condition.sql)
    assert condition.sql.count("?") == len(condition.parameters)


VALUES = {"status": st.sampled_from(["failed", "open", "ended"]), "started": st.sampled_from(["-1h", "0"]), "ended": st.just("-2d"),
          "duration": st.sampled_from(["5s", "0ms"]), "records": st.just("4"), "partition": st.just("1")}  # fmt: skip


@st.composite
def comparisons(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(sorted(FIELDS)))
    field = FIELDS[name]
    operators = ("=", "!=") if name == "status" else ("=", "!=", "~", "!~") if field.text else ("=", "!=", "<", "<=", ">", ">=")
    quoted = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=10).map(
        lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )
    return f"{name} {draw(st.sampled_from(operators))} {draw(VALUES.get(name, quoted))}"


FILTERS = st.recursive(
    comparisons(),
    lambda inner: st.one_of(
        inner.map(lambda one: f"not ({one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda three: f"({three[0]}) {three[1]} ({three[2]})"),
    ),
    max_leaves=8,
)


@given(FILTERS, FILTERS)
def test_filters_obey_logic(database: sqlite3.Connection, one: str, other: str) -> None:
    everything = {*RUNS, "open"}
    assert found(database, f"not ({one})") == everything - found(database, one)
    assert found(database, f"({one}) and ({other})") == found(database, one) & found(database, other)
    assert found(database, f"({one}) or ({other})") == found(database, one) | found(database, other)


def test_the_sql_uses_the_indexes(database: sqlite3.Connection) -> None:
    def plan(text: str) -> str:
        condition = compile_filter(text, NOW)
        sql = f"EXPLAIN QUERY PLAN SELECT id FROM runs WHERE {condition.sql} ORDER BY started_at DESC, id DESC LIMIT 50"
        return " ".join(row[3] for row in database.execute(sql, condition.parameters))

    assert "runs_of_flow " in plan("flow = orders")
    assert "runs_of_flow_by_status" in plan("flow = orders and status = failed")
    assert "runs_by_status" in plan("status = failed")
    assert "runs_by_start" in plan("started > -1h")


def test_the_file_holds_what_a_folder_with_a_strange_name_can_hold(tmp_path: Path) -> None:
    opened = Database(tmp_path / "a folder'; with ?#% in its name")
    opened.writer().close()
    opened.close()
