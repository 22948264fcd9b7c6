"""The read model: what coordinators leave in the streams is found, whatever happens to the reader."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.definitions import define
from jetfleet.broker.deployment import ensure
from jetfleet.broker.read_model import (
    InvalidQuestion,
    InvalidSearch,
    JournalGap,
    ReaderAbsent,
    RunRow,
    journal,
    questions,
)
from jetfleet.broker.read_model.database import FILE
from jetfleet.broker.read_model.errors import ReadModelInUse
from jetfleet.broker.read_model.reader import Reader
from jetfleet.broker.topology import Topology
from jetfleet.broker.versions import deploy
from jetfleet.schemas import messages, payload, subjects
from jetfleet.schemas.codec import encode_record
from jetfleet.schemas.messages import DeadLetter, RunView
from jetfleet.schemas.records import PauseRequested, ResumeRequested

from .conftest import ServerFactory
from .histories import PARTITIONS, START, STEP_MS, Stage, archive, chain, write_history, write_wal
from .running import run

HOUR = 3_600_000


@asynccontextmanager
async def fleet(url: str) -> AsyncIterator[Connection]:
    """A connection to a deployment with two partitions."""
    async with await Connection.open(url, name="tests") as connection:
        await ensure(connection, Topology(partitions=PARTITIONS))
        yield connection


@asynccontextmanager
async def reading(connection: Connection, folder: Path, *, rebuild: bool = False) -> AsyncIterator[Reader]:
    """A reader that has read what is there."""
    reader = Reader(connection, PARTITIONS, folder, rebuild=rebuild)
    await reader.start()
    try:
        await reader.caught_up()
        yield reader
    finally:
        await reader.stop()


def table(folder: Path) -> list[tuple[Any, ...]]:
    """Everything that the file says about runs and journals, but not in which order it learned it."""
    with sqlite3.connect(folder / FILE) as connection:
        runs = connection.execute(
            "SELECT id, flow, version, digest, status, trigger, partition, started_at, ended_at, duration_ms, error_type, error_message, "
            "parent, records, error, output, trace FROM runs ORDER BY id"
        ).fetchall()
        parts = connection.execute("SELECT place, id, first, parts.records FROM parts JOIN runs ON run = key ORDER BY place").fetchall()
    return [*runs, *parts]


def test_a_run_that_ended_is_found_with_everything_about_it(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            played = Stage().play("7", output={"total": 12})
            await archive(connection, [played])
            async with reading(connection, tmp_path):
                found = await questions.run(connection, played.run)
        assert found is not None and played.summary is not None
        assert found.row == RunRow(
            played.run, "orders", "1.0", played.summary.digest, "completed", "go", subjects.partition_of(played.run, PARTITIONS),
            START, START + 3 * STEP_MS, 3 * STEP_MS, records=4,
        )  # fmt: skip
        assert found.output == played.summary.output
        assert [(part.first, part.records) for part in found.parts] == [(0, 4)]

    run(test())


def test_a_run_that_failed_tells_why(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            played = Stage().play("7", nodes=2, error="no such article")
            await archive(connection, [played])
            async with reading(connection, tmp_path):
                page = await questions.runs(connection, "error ~ article and error = out_of_stock")
                found = await questions.run(connection, played.run)
        assert [(row.id, row.status, row.error_type) for row in page.rows] == [(played.run, "failed", "out_of_stock")]
        assert found is not None and found.error is not None
        assert (found.error.message, found.error.node) == ("no such article", "b")

    run(test())


def test_an_open_run_is_listed_from_its_start_on_and_its_end_is_kept_whatever_comes_late(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            definition = define(chain("orders"))
            await deploy(connection, definition)
            played = Stage().play("7")
            async with reading(connection, tmp_path) as reader:
                await write_wal(connection, played.records[0])
                await reader.caught_up()
                begun = await questions.runs(connection, status="open")
                await archive(connection, [played])
                await write_wal(connection, played.records[0])
                await reader.caught_up()
                over = await questions.runs(connection)
        assert [(row.id, row.status, row.version, row.ended_at) for row in begun.rows] == [(played.run, "running", "1.0", None)]
        assert [(row.id, row.status) for row in over.rows] == [(played.run, "completed")]

    run(test())


def test_an_open_run_that_only_the_history_tells_of_is_listed(fresh_url: str, tmp_path: Path) -> None:
    """The WAL behind a snapshot is purged, and with it the record of the run's start."""

    async def test() -> None:
        async with fleet(fresh_url) as connection:
            played = Stage().play("7", nodes=2)
            later = Stage().play("8", nodes=2)
            await write_history(connection, "orders", [later.part(1, 3)])
            await write_history(connection, "orders", [later.part(0, 1), played.part(0, 2), played.part(2, 3)])
            async with reading(connection, tmp_path):
                page = await questions.runs(connection, "status = open")
                found = await questions.run(connection, played.run)
        assert {(row.id, row.status, row.trigger, row.started_at) for row in page.rows} == {
            (played.run, "running", "go", START),
            (later.run, "running", "go", START),
        }
        assert found is not None and [(part.first, part.records) for part in found.parts] == [(0, 2), (2, 1)]

    run(test())


def test_a_run_that_was_paused_is_listed_as_paused_until_it_is_resumed(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            played = Stage().play("7", nodes=1)
            async with reading(connection, tmp_path) as reader:
                await write_wal(connection, *played.records, PauseRequested(played.run, START + 100))
                await reader.caught_up()
                paused = await questions.runs(connection, status="paused")
                await write_wal(connection, ResumeRequested(played.run, START + 200))
                await write_history(connection, "orders", [played.part(0, 2)])
                await reader.caught_up()
                resumed = await questions.runs(connection, status="running")
        assert [row.id for row in paused.rows] == [row.id for row in resumed.rows] == [played.run]

    run(test())


def test_runs_are_filtered_ordered_and_counted(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            orders, mails = Stage("orders"), Stage("mails")
            await archive(connection, [orders.play(str(n), at=START + n * 1_000, took=100 + n) for n in range(10)])
            await archive(connection, [orders.play("bad", at=START + 60_000, error="sold out")])
            await archive(connection, [mails.play(str(n), at=START + n * 1_000) for n in range(5)])
            async with reading(connection, tmp_path):
                slow = await questions.runs(connection, "duration > 320ms", flow="orders", order="-duration")
                other = await questions.runs(connection, "not flow = orders and started >= 2025-06-15T15:06:43", order="started")
                counts = await questions.flows(connection)
        assert [row.duration_ms for row in slow.rows] == [327, 324, 321]
        assert [(row.flow, row.started_at) for row in other.rows] == [("mails", START + n * 1_000) for n in (3, 4)]
        assert [(count.flow, count.statuses, count.total) for count in counts] == [
            ("mails", {"completed": 5}, 5),
            ("orders", {"completed": 10, "failed": 1}, 11),
        ]

    run(test())


@pytest.mark.parametrize("order", ["started", "-started", "ended", "-ended", "duration", "-duration"])
def test_pages_hold_each_run_once_though_runs_come_and_many_are_alike(fresh_url: str, tmp_path: Path, order: str) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            runs = [stage.play(str(n), at=START + n // 20) for n in range(50)]
            await archive(connection, runs)
            async with reading(connection, tmp_path) as reader:
                rows: list[RunRow] = []
                page = await questions.runs(connection, order=order, limit=17)
                while True:
                    rows += page.rows
                    if not page.cursor:
                        break
                    late = stage.play(f"late {len(rows)}", at=START - 1)
                    await archive(connection, [late])
                    await reader.caught_up()
                    page = await questions.runs(connection, "not id ~ nothing", order=order, limit=17, cursor=page.cursor)
        expected = {each.run for each in runs}
        assert len(rows) == len({row.id for row in rows})
        assert expected <= {row.id for row in rows}
        keys = [getattr(row, {"started": "started_at", "ended": "ended_at", "duration": "duration_ms"}[order.lstrip("-")]) for row in rows]
        assert keys == sorted(keys, reverse=order.startswith("-"))

    run(test())


def test_questions_that_make_no_sense_are_told_so(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            async with reading(connection, tmp_path):
                with pytest.raises(InvalidSearch, match="no field 'flw'") as refused:
                    await questions.runs(connection, "status = failed and flw = orders")
                assert refused.value.column == 21
                with pytest.raises(InvalidSearch, match="no run has the status 'done'"):
                    await questions.runs(connection, status="done")
                with pytest.raises(InvalidQuestion, match="cannot be ordered by 'flow'"):
                    await questions.runs(connection, order="flow")
                with pytest.raises(InvalidQuestion, match="between 1 and 500"):
                    await questions.runs(connection, limit=100_000)
                with pytest.raises(InvalidQuestion, match="the cursor belongs to another list"):
                    await questions.runs(connection, cursor="-duration 5 orders-1")
                answer = await connection.request(subjects.query("runs"), b"\xc1")
                assert b"INVALID_QUESTION" in answer.data
                assert await questions.run(connection, "no such run") is None
            with pytest.raises(ReaderAbsent, match="jetfleet reader"):
                await questions.runs(connection)

    run(test())


def test_what_cannot_be_read_is_counted_and_keeps_nothing_else_from_being_found(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            first, second = stage.play("1"), stage.play("2")
            strange = messages.encode(msgspec.structs.replace(stage.play("3").part(), first=-5))
            entries = [messages.encode(first.part()), b"\x93\x01\x02\x03", strange, messages.encode(second.part())]
            history = subjects.history("orders")
            for data in (b"\xc1", b"", b"\x81\xa1a\x01", messages.join(entries)):
                await connection.publisher.publish(history, data)
            begun = stage.play("4", nodes=0)
            garbled = b"\x95\x01\xa1x\xa1y\xa1z\xa1d"
            await connection.publisher.publish(subjects.wal(0), messages.join([garbled, encode_record(begun.records[0])]))
            await connection.publisher.publish(subjects.wal(1), b"\xc1")
            await connection.publisher.publish(subjects.dead("event"), b"\xc1")
            async with reading(connection, tmp_path):
                page = await questions.runs(connection)
                found = await questions.run(connection, second.run)
                facts = await questions.reader(connection)
                letters = await questions.dead(connection)
        assert {row.id for row in page.rows} == {first.run, second.run, begun.run}
        assert found is not None and (found.parts[0].seq, found.parts[0].index) == (4, 3)
        assert facts["refused"] == 8
        assert [letter.code for letter in letters.rows] == ["UNREADABLE_RECORD"]

    run(test())


def test_dead_letters_are_listed_until_they_leave_their_stream(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            for number, kind in enumerate(("event", "task", "event")):
                letter = DeadLetter(kind, "EVENT_REJECTED", f"reason {number}", "events.orders", b"{}", START + number)
                await connection.publisher.publish(subjects.dead(kind), messages.encode(letter))
            async with reading(connection, tmp_path):
                before = await questions.dead(connection)
                events = await questions.dead(connection, kind="event", limit=1)
                more = await questions.dead(connection, kind="event", limit=1, before=int(events.cursor))
                await connection.streams.delete_message(subjects.DEAD, 3)
                after = await questions.dead(connection)
        assert [(row.seq, row.kind, row.reason, row.size_bytes) for row in before.rows] == [
            (3, "event", "reason 2", 2), (2, "task", "reason 1", 2), (1, "event", "reason 0", 2),
        ]  # fmt: skip
        assert [row.seq for row in events.rows + more.rows] == [3, 1] and not more.cursor
        assert [row.seq for row in after.rows] == [2, 1]

    run(test())


def test_building_the_file_anew_gives_the_same_rows(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            ended = [stage.play(str(n), error="bad" if n % 7 == 0 else None) for n in range(300)]
            begun = [stage.play(f"open {n}", nodes=n % 3) for n in range(30)]
            async with reading(connection, tmp_path) as reader:
                await write_wal(connection, *(each.records[0] for each in ended + begun))
                await reader.caught_up()
                await archive(connection, ended, batch=17)
                await reader.caught_up()
            before = table(tmp_path)
            async with reading(connection, tmp_path, rebuild=True):
                pass
            assert table(tmp_path) == before
            assert len(before) == 300 + 30 + 300

    run(test())


def test_a_file_of_another_version_or_that_is_none_is_built_anew(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            await archive(connection, [Stage().play("7")])
            async with reading(connection, tmp_path):
                pass
            with sqlite3.connect(tmp_path / FILE) as file:
                file.execute("PRAGMA user_version = 999")
            async with reading(connection, tmp_path):
                assert len((await questions.runs(connection)).rows) == 1
            (tmp_path / FILE).write_bytes(b"this is no database" * 1_000)
            async with reading(connection, tmp_path):
                assert len((await questions.runs(connection)).rows) == 1

    run(test())


def test_two_readers_cannot_keep_one_file(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection, reading(connection, tmp_path):
            with pytest.raises(ReadModelInUse, match="another folder with --data"):
                Reader(connection, PARTITIONS, tmp_path)

    run(test())


def test_a_reader_goes_on_when_the_server_was_away(server_factory: ServerFactory, tmp_path: Path) -> None:
    server = server_factory()

    async def test() -> None:
        async with fleet(server.url) as connection:
            stage = Stage()
            await archive(connection, [stage.play("before")])
            async with reading(connection, tmp_path) as reader:
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.restart)
                await archive(connection, [stage.play("after")])
                await reader.caught_up()
                page = await questions.runs(connection)
        assert {row.id for row in page.rows} == {subjects.run_id("orders", key) for key in ("before", "after")}

    run(test())


def test_streams_that_were_made_anew_make_the_file_anew(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            await archive(connection, [stage.play("old")])
            async with reading(connection, tmp_path):
                pass
            await connection.streams.delete_stream(subjects.HISTORY)
            await ensure(connection, accept_loss=True)
            await archive(connection, [stage.play("new")])
            async with reading(connection, tmp_path):
                page = await questions.runs(connection)
        assert [row.id for row in page.rows] == [subjects.run_id("orders", "new")]

    run(test())


def test_streams_that_are_made_anew_under_a_reader_make_its_file_anew(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            await archive(connection, [stage.play("old")])
            async with reading(connection, tmp_path):
                await connection.streams.delete_stream(subjects.HISTORY)
                await ensure(connection, accept_loss=True)
                await archive(connection, [stage.play("new")])
                expected = [subjects.run_id("orders", "new")]
                while [row.id for row in (await questions.runs(connection)).rows] != expected:
                    await asyncio.sleep(0.01)

    run(test())


def test_a_full_disk_stops_the_reading_until_there_is_room(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            async with reading(connection, tmp_path) as reader:
                await reader.store.write(lambda file: file.execute("PRAGMA max_page_count = 1").fetchall())
                await archive(connection, [stage.play(str(number)) for number in range(1_000)])
                while not reader.follower.blocked:
                    await asyncio.sleep(0.01)
                none = await questions.runs(connection)
                await reader.store.write(lambda file: file.execute("PRAGMA max_page_count = 1000000").fetchall())
                await reader.caught_up()
                counts = await questions.flows(connection)
        assert none.rows == []
        assert [count.total for count in counts] == [1_000]

    run(test())


def test_a_journal_is_put_together_from_the_history_and_its_owner(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection, reading(connection, tmp_path) as reader:
            played = Stage().play("7", nodes=2)
            # A take-over in between: the new owner archives again what the old one had.
            await write_history(connection, "orders", [played.part(0, 1)])
            await write_history(connection, "orders", [played.part(0, 2)])
            await reader.caught_up()
            view = RunView(
                played.run, "orders", "1.0", "d", "running", "go", START, START + 20, archived=2,
                tail=[msgspec.Raw(encode_record(played.records[2]))],
            )  # fmt: skip
            owner = await connection.subscribe(
                subjects.run(subjects.partition_of(played.run, PARTITIONS)),
                lambda message: connection.try_write(b"PUB %b %d\r\n%b\r\n" % (message.reply.encode(), len(data), data)) and None,
            )
            data = messages.encode(view)
            found = await journal(connection, played.run, PARTITIONS)
            await owner.stop()
        assert found is not None and found.view == view
        assert found.decoded() == played.records

    run(test())


def test_a_journal_of_a_run_that_ended_needs_no_owner(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection, reading(connection, tmp_path) as reader:
            stage = Stage()
            played = stage.play("7")
            await write_history(connection, "orders", [played.part(0, 2)])
            await write_history(connection, "orders", [stage.play("8").part(), played.part(2)])
            await reader.caught_up()
            found = await journal(connection, played.run, PARTITIONS)
            unknown = await journal(connection, "nobody", PARTITIONS)
        assert found is not None and found.decoded() == played.records
        assert found.found is not None and found.found.row.status == "completed"
        assert unknown is None

    run(test())


def test_a_journal_with_a_hole_is_not_given_out(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection, reading(connection, tmp_path) as reader:
            played = Stage().play("7")
            await write_history(connection, "orders", [played.part(0, 2)])
            await write_history(connection, "orders", [played.part(2)])
            await reader.caught_up()
            await connection.streams.delete_message(subjects.HISTORY, 1)
            with pytest.raises(JournalGap, match="0 records were found"):
                await journal(connection, played.run, PARTITIONS, patience_s=0)

    run(test())


def test_what_is_too_old_is_removed_flow_by_flow(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            await deploy(connection, define(chain("orders", keep="1h")))
            await deploy(connection, define(chain("mails", keep="30d")))
            orders, mails = Stage("orders", "1h"), Stage("mails")
            old = [orders.play(f"old {n}") for n in range(40)]
            waiting = orders.play("waiting", nodes=1)
            young = [orders.play(f"young {n}", at=START + HOUR) for n in range(10)]
            await archive(connection, old[:20], batch=5)  # 1 to 4: all of them can go
            await write_history(connection, "orders", [waiting.part(0, 1), *(each.part() for each in old[20:25])])
            await archive(connection, old[25:], batch=5)  # 6 to 8: can go too, behind one that stays
            await archive(connection, young, batch=5)  # 9, 10
            await archive(connection, [mails.play(f"old {n}") for n in range(10)])  # 11
            async with reading(connection, tmp_path) as reader:
                reader.retention._now_ms = lambda: START + HOUR + 60_000
                removed = await reader.retention.look()
                left = [stored.seq async for stored in connection.streams.read(subjects.HISTORY)]
                rows = (await questions.runs(connection, limit=100)).rows
                again = await reader.retention.look()
                assert (await questions.run(connection, waiting.run)) is not None
        assert (removed, again) == (40, 0)
        assert left == [5, 9, 10, 11]
        assert {row.flow: sum(other.flow == row.flow for other in rows) for row in rows} == {"orders": 11, "mails": 10}

    run(test())


def test_retention_keeps_what_this_version_cannot_read(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            await deploy(connection, define(chain("orders", keep="1h")))
            newer = messages.join([b"\x93\x01\x02\x03"])
            await connection.publisher.publish(subjects.history("orders"), newer)
            await archive(connection, [Stage("orders", "1h").play("7")])
            async with reading(connection, tmp_path) as reader:
                reader.retention._now_ms = lambda: START + 2 * HOUR
                await reader.retention.look()
                left = [stored.data async for stored in connection.streams.read(subjects.HISTORY)]
        assert left == [newer]

    run(test())


def test_the_output_of_a_run_is_kept_unless_it_is_large(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url) as connection:
            stage = Stage()
            small, large = stage.play("small"), stage.play("large")
            assert small.summary is not None and large.summary is not None
            outputs = {"small": payload.encode("x" * 10_000), "large": payload.encode("x" * 20_000)}
            parts = [
                msgspec.structs.replace(each.part(), summary=msgspec.structs.replace(each.summary, output=outputs[name]))
                for name, each in (("small", small), ("large", large))
            ]
            await write_history(connection, "orders", parts)
            async with reading(connection, tmp_path):
                found = [await questions.run(connection, each.run) for each in (small, large)]
        assert [None if each is None else each.output for each in found] == [outputs["small"], None]

    run(test())
