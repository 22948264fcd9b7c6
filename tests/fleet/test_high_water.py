"""A server that lost what was acknowledged is found out, and only an operator goes on with it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker import high_water
from jetfleet.broker.client import Connection
from jetfleet.broker.client.streams import Streams as StreamsOf
from jetfleet.broker.deployment import ensure
from jetfleet.broker.high_water import HighWater, WalWentBack, file_name
from jetfleet.broker.topology import Topology, wal_stream

from .background import BackgroundServer
from .conftest import ServerFactory
from .running import run
from .trouble import restarted

TWO = Topology(partitions=2, store_bytes=1 << 30)


@pytest.fixture
def server(server_factory: ServerFactory) -> BackgroundServer:
    return server_factory()


async def deployed(server: BackgroundServer, records: int = 0) -> Connection:
    connection = await Connection.open(server.url, name="test")
    await ensure(connection, TWO)
    for _ in range(records):
        await connection.publisher.publish("wal.0", b"record")
    return connection


def test_a_server_that_goes_on_is_accepted(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with await deployed(server, records=3) as connection:
            await HighWater(tmp_path).check(connection, 2)
            await connection.publisher.publish("wal.0", b"record")
            await restarted(server)
        async with await deployed(server) as connection:
            again = HighWater(tmp_path)
            assert again.seen("WAL_0") == 3
            await again.check(connection, 2)
            assert again.seen("WAL_0") == 4
            assert again.seen("EVENTS") == 0

    run(test())


def test_a_mark_that_is_noted_while_it_is_written_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Saving goes on in a thread: a sequence with the time of another one would be found to be overwritten."""
    (tmp_path / file_name("")).write_text(json.dumps({"streams": {"WAL_0": {"created": "2026-01-01T00:00:00Z", "seq": 1, "at_ns": 1}}}))
    marks = HighWater(tmp_path)
    marks.note("WAL_0", 2, 2)

    def field_by_field(mark: high_water.Mark) -> dict[str, Any]:
        seq = mark.seq
        marks.note("WAL_0", 3, 3)
        return {"created": mark.created, "seq": seq, "at_ns": mark.at_ns}

    monkeypatch.setattr(high_water, "asdict", field_by_field)
    marks.save()
    written = json.loads((tmp_path / file_name("")).read_text())["streams"]["WAL_0"]
    assert (written["seq"], written["at_ns"]) == (2, 2)
    assert marks.seen("WAL_0") == 3


def test_a_stream_that_grows_and_is_noted_while_it_is_checked_is_accepted(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with await deployed(server, records=3) as connection:
            marks = HighWater(tmp_path)
            await marks.check(connection, 2)
            streams, asked = connection.streams, []

            async def grown(what: Any, *arguments: Any) -> Any:
                """The server's answer, and then a record that this process reads before it sees the answer."""
                answer = await what(*arguments)
                if arguments[0] == "WAL_0":
                    stored = await connection.publisher.publish("wal.0", b"record")
                    record = await StreamsOf(connection).get("WAL_0", stored.seq)
                    assert record is not None
                    marks.note("WAL_0", stored.seq, record.time_ns)
                    asked.append(stored.seq)
                return answer

            streams.stream_info = partial(grown, streams.stream_info)  # type: ignore[method-assign]
            streams.get = partial(grown, streams.get)  # type: ignore[method-assign]
            await marks.check(connection, 2)
            assert asked == [4, 5], "it grew behind both answers"
            assert marks.seen("WAL_0") == 5

    run(test())


def test_a_stream_that_ends_earlier_than_it_did_is_refused(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with await deployed(server, records=3) as connection:
            marks = HighWater(tmp_path)
            await marks.check(connection, 2)
            marks.note("WAL_0", 8)
            marks.note("WAL_0", 5)
            marks.save()
            with pytest.raises(WalWentBack, match=r"WAL_0 ends at sequence 3, it was seen up to 8.*accept-loss") as refused:
                await HighWater(tmp_path).check(connection, 2)
            assert refused.value.streams == ("WAL_0",)
            assert HighWater(tmp_path).seen("WAL_0") == 8

    run(test())


def test_a_stream_that_went_back_and_grew_again_is_refused(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with await deployed(server, records=3) as connection:
            marks = HighWater(tmp_path)
            await marks.check(connection, 2)
            seen = await connection.streams.get("WAL_0", 2)
            assert seen is not None
            again = HighWater(tmp_path)
            again._marks["WAL_0"] = replace(again._marks["WAL_0"], seq=2, at_ns=seen.time_ns)
            await again.check(connection, 2)
            again.note("WAL_0", 4, seen.time_ns + 1)
            await connection.publisher.publish("wal.0", b"another one than was seen")
            again.save()
            with pytest.raises(WalWentBack, match="another message at sequence 4"):
                await HighWater(tmp_path).check(connection, 2)
            await connection.streams.purge("WAL_0", seq=5)
            await HighWater(tmp_path).check(connection, 2)

    run(test())


def test_a_stream_that_was_made_anew_is_refused_even_if_it_is_longer(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with await deployed(server, records=3) as connection:
            await HighWater(tmp_path).check(connection, 2)
            await connection.streams.delete_stream("WAL_0")
            with pytest.raises(WalWentBack, match="WAL_0 is gone, it was seen up to sequence 3"):
                await HighWater(tmp_path).check(connection, 2)
            await connection.streams.create_or_update_stream(wal_stream(0, 2).config(1, 1 << 30))
            for _ in range(9):
                await connection.publisher.publish("wal.0", b"record")
            with pytest.raises(WalWentBack, match="created anew"):
                await HighWater(tmp_path).check(connection, 2)

    run(test())


def test_another_server_is_refused_until_the_loss_is_accepted(
    server: BackgroundServer, server_factory: ServerFactory, tmp_path: Path
) -> None:
    async def test() -> None:
        async with await deployed(server, records=3) as connection:
            await HighWater(tmp_path).check(connection, 2)
        async with await deployed(server_factory()) as connection:
            with pytest.raises(WalWentBack):
                await HighWater(tmp_path).check(connection, 2)
            assert "WAL_0" in await HighWater(tmp_path).accept(connection, 2)
            await HighWater(tmp_path).check(connection, 2)
            assert await HighWater(tmp_path).accept(connection, 2) == []

    run(test())


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"streams": {"WAL_0": 3}}', '{"streams": {"WAL_0": {"created": "x", "seq": 1}}}', "\0\xff"]
)
def test_a_damaged_file_is_a_fresh_start(server: BackgroundServer, tmp_path: Path, text: str) -> None:
    async def test() -> None:
        (tmp_path / file_name("")).write_text(text)
        marks = HighWater(tmp_path)
        assert marks.seen("WAL_0") is None
        async with await deployed(server, records=2) as connection:
            await marks.check(connection, 2)
        assert HighWater(tmp_path).seen("WAL_0") == 2

    run(test())


def test_processes_that_share_a_folder_keep_the_higher_mark(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        async with await deployed(server, records=1) as connection:
            one, two = HighWater(tmp_path), HighWater(tmp_path)
            await one.check(connection, 2)
            await two.check(connection, 2)
            await one.start()
            one.note("WAL_0", 7)
            two.note("WAL_0", 4)
            two.note("WAL_1", 9)
            await one.stop()
            two.save()
            both = HighWater(tmp_path)
            assert (both.seen("WAL_0"), both.seen("WAL_1")) == (7, 9)
            assert [file.name for file in tmp_path.iterdir() if file.name.startswith(file_name(""))] == [file_name("")]

    run(test())


def test_a_folder_that_cannot_be_written_stops_nobody(server: BackgroundServer, tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "file").write_text("no folder")
        async with await deployed(server, records=1) as connection:
            marks = HighWater(tmp_path / "file")
            await marks.check(connection, 2)
            assert marks.seen("WAL_0") == 1

    run(test())
