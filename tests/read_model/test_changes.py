"""Changes: the rows depend on what the streams hold, not on which of them was read first, how much at a time, or how often."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from jetfleet.broker.read_model.changes import MESSAGE_KEPT_MAX, OUTPUT_KEPT_MAX_BYTES, Changes, kept_error
from jetfleet.broker.read_model.database import Database
from jetfleet.broker.read_model.writer import write
from jetfleet.schemas import messages
from jetfleet.schemas.codec import encode_batch, encode_record
from jetfleet.schemas.messages import Part, Summary
from jetfleet.schemas.records import Completion, Error, PauseRequested, Record, ResumeRequested, RunReopened, RunStarted

START = 1_750_000_000_000
Message = tuple[str, int, str, bytes]


def journal(run: str) -> list[Record]:
    return [
        RunStarted(run, START, "orders", "d1", "api"),
        PauseRequested(run, START + 1),
        ResumeRequested(run, START + 2),
        *(Completion(run, START + 10 * node, (node,), 1) for node in (1, 2)),
    ]


def part(run: str, first: int, end: int | None = None, summary: Summary | None = None) -> Part:
    return Part(run, first, [msgspec.Raw(encode_record(record)) for record in journal(run)[first:end]], summary)


def history(seq: int, *parts: Part) -> Message:
    return ("HISTORY", seq, "history.orders", messages.encode_all(parts))


ENDED = Summary("orders", "1.0", "d1", "failed", "api", START, START + 20, error=Error("bad", "too bad"), records=5)
WAL: list[Message] = [
    ("WAL_0", 1, "wal.0", encode_batch(journal("whole") + journal("cut"))),
    ("WAL_0", 2, "wal.0", encode_batch([*journal("open")[:2], *journal("whole")[:1]])),
    ("WAL_0", 3, "wal.0", encode_batch([PauseRequested("whole", START + 30)])),
    ("WAL_0", 4, "wal.0", encode_batch([*journal("x-again")[:2], RunReopened("x-again", START + 40, 5)])),
    ("WAL_0", 5, "wal.0", encode_batch([RunReopened("y-twice", START + 40, 5), RunReopened("z-fork", START + 40, 2, source="whole")])),
]
HISTORY: list[Message] = [
    history(1, part("whole", 0, None, ENDED), part("cut", 0, 2)),
    history(2, part("open", 0, 2), part("cut", 0, 3)),
    history(3, part("cut", 3, None, ENDED), part("whole", 0, None, ENDED)),
    history(4, part("x-again", 0, None, ENDED), part("y-twice", 0, None, ENDED)),
    history(5, part("z-fork", 0, 2)),
    history(6, Part("y-twice", 5, [], msgspec.structs.replace(ENDED, status="completed", error=None, ended_at=START + 90, records=8))),
]


def rows(path: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        runs = connection.execute(
            "SELECT id, flow, version, digest, status, trigger, started_at, ended_at, error_type, records, source FROM runs ORDER BY id"
        ).fetchall()
        return (
            runs + connection.execute("SELECT place, id, first, parts.records FROM parts JOIN runs ON run = key ORDER BY place").fetchall()
        )


def fed(folder: Path, batches: list[list[Message]]) -> list[tuple[Any, ...]]:
    """The rows after each batch was written in a transaction of its own."""
    database = Database(folder, rebuild=True)
    connection = database.writer()
    for batch in batches:
        changes = Changes(1, {})
        for message in batch:
            changes.take(*message)
        write(connection, changes)
    connection.close()
    found = rows(database.path)
    database.close()
    return found


@st.composite
def feedings(draw: st.DrawFn) -> list[list[Message]]:
    """Both streams, each in order, woven together somehow; some messages again from an earlier place; in batches of any size."""
    streams, woven = [list(WAL), list(HISTORY)], []
    while any(streams):
        stream = draw(st.sampled_from([each for each in streams if each]))
        woven.append(stream.pop(0))
    again = draw(st.integers(0, len(woven)))
    woven += woven[again:]
    batches: list[list[Message]] = [[]]
    for message in woven:
        if draw(st.booleans()):
            batches.append([])
        batches[-1].append(message)
    return batches


@given(feedings())
def test_the_rows_are_the_same_in_whatever_order_the_streams_are_read(tmp_path_factory: Any, batches: list[list[Message]]) -> None:
    folder = tmp_path_factory.mktemp("read model")
    found = fed(folder / "any", batches)
    assert found == fed(folder / "plain", [[*WAL, *HISTORY]])
    assert [(row[0], row[4]) for row in found[:3]] == [("cut", "failed"), ("open", "paused"), ("whole", "failed")]
    reopened = [(row[0], row[1], row[4], row[7], row[8], row[10]) for row in found[3:6]]
    assert reopened == [
        ("x-again", "orders", "running", None, None, None),
        ("y-twice", "orders", "completed", START + 90, None, None),
        ("z-fork", "orders", "running", None, None, "whole"),
    ]


def test_an_error_that_is_large_loses_its_details_and_keeps_its_beginning() -> None:
    small = Error("bad", "m" * 1_000, details={"a": 1})
    large = Error("bad", "m" * 100_000, details=["x" * 100_000])
    assert msgspec.msgpack.decode(kept_error(small), type=Error) == small
    assert len(kept_error(large)) <= OUTPUT_KEPT_MAX_BYTES
    assert msgspec.msgpack.decode(kept_error(large), type=Error).message == "m" * MESSAGE_KEPT_MAX
