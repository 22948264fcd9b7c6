"""A tail reads everything once and in order, and notices when a stream does not go on where it was read up to."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.client import Connection, ConnectionClosed, Hole, Message, NotFound, Tail

from .proxy import Proxy
from .servers import Names, Server, run, until


class Reader:
    """What a tail has handed over, and which hole it found."""

    def __init__(self, connection: Connection, stream: str, start_seq: int = 1, **options: Any) -> None:
        self.read: list[int] = []
        self.holes: list[tuple[int, int]] = []
        on_hole = lambda expected, got: self.holes.append((expected, got))  # noqa: E731
        self.tail = Tail(connection, stream, start_seq, self._take, on_hole=on_hole, **options)

    def _take(self, message: Message) -> None:
        assert message.data == b"%d" % message.stream_seq
        self.read.append(message.stream_seq)


async def fill(connection: Connection, subject: str, first: int, last: int) -> None:
    """Messages that have their sequence as data."""
    await asyncio.gather(*(connection.publisher.submit(subject, b"%d" % number) for number in range(first, last + 1)))


def test_it_reads_what_is_there_and_then_what_comes(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 3_000)
            reader = Reader(connection, names.stream)
            await reader.tail.start()
            assert await reader.tail.caught_up() == 3_000
            assert reader.read == list(range(1, 3_001))
            await fill(connection, names("a"), 3_001, 3_010)
            assert await reader.tail.caught_up() == 3_010
            await reader.tail.stop()
            await fill(connection, names("a"), 3_011, 3_020)
            assert reader.read == list(range(1, 3_011))

    run(test())


def test_it_begins_where_it_is_told_to(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 10)
            reader = Reader(connection, names.stream, 8)
            await reader.tail.start()
            assert await reader.tail.caught_up() == 10
            assert reader.read == [8, 9, 10]
            at_the_end = Reader(connection, names.stream, 11)
            await at_the_end.tail.start()
            assert await at_the_end.tail.caught_up() == 10
            assert at_the_end.read == []
            await reader.tail.stop()
            await at_the_end.tail.stop()

    run(test())


def test_an_empty_stream_is_caught_up_with_at_once(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            reader = Reader(connection, names.stream)
            await reader.tail.start()
            assert await reader.tail.caught_up() == 0
            await fill(connection, names("a"), 1, 5)
            assert await reader.tail.caught_up() == 5
            await reader.tail.stop()
            await connection.streams.purge(names.stream)
            emptied = Reader(connection, names.stream, 6)
            await emptied.tail.start()
            assert await emptied.tail.caught_up() == 5
            await emptied.tail.stop()

    run(test())


def test_across_crashes_of_the_server_nothing_is_missed_or_read_twice(server: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await names.create(connection)
            reader = Reader(connection, names.stream)
            await reader.tail.start()
            for start in (1, 1_001, 2_001):
                filling = asyncio.ensure_future(fill(connection, names("a"), start, start + 999))
                await until(lambda start=start: len(reader.read) >= start)  # type: ignore[misc]
                server.restart()
                await filling
            assert await reader.tail.caught_up() == 3_000
            assert reader.read == list(range(1, 3_001))
            assert reader.holes == []
            await reader.tail.stop()

    run(test())


def test_a_consumer_that_the_server_forgot_is_replaced(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            reader = Reader(connection, names.stream)
            await reader.tail.start()
            await fill(connection, names("a"), 1, 5)
            await reader.tail.caught_up()
            for name in await consumers(connection, names.stream):
                await connection.streams.delete_consumer(names.stream, name)
            await fill(connection, names("a"), 6, 10)
            assert await reader.tail.caught_up() == 10
            assert reader.read == list(range(1, 11))
            await reader.tail.stop()
            await connection.streams.account()
            assert await consumers(connection, names.stream) == []

    async def consumers(connection: Connection, stream: str) -> list[str]:
        answer = await connection.streams._ask(f"CONSUMER.NAMES.{stream}", {}, stream)
        return list(answer.get("consumers") or [])

    run(test())


def test_a_deleted_message_is_a_hole(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            await connection.streams.delete_message(names.stream, 3)
            reader = Reader(connection, names.stream)
            await reader.tail.start()
            with pytest.raises(Hole, match="sequence 3 but at 4"):
                await reader.tail.caught_up()
            assert (reader.read, reader.holes) == ([1, 2], [(3, 4)])
            await fill(connection, names("a"), 6, 6)
            with pytest.raises(Hole):
                await reader.tail.caught_up()
            assert reader.read == [1, 2]

    run(test())


def test_a_stream_that_was_purged_beyond_the_start_is_a_hole(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            await connection.streams.purge(names.stream, seq=4)
            reader = Reader(connection, names.stream, 2)
            await reader.tail.start()
            await until(lambda: bool(reader.holes))
            assert reader.holes == [(2, 4)]

    run(test())


@pytest.mark.parametrize("messages", [2, 20])
def test_a_stream_that_was_made_anew_is_a_hole_however_long_it_is(shared: Server, names: Names, messages: int) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            reader = Reader(connection, names.stream)
            await reader.tail.start()
            await reader.tail.caught_up()
            await connection.streams.delete_stream(names.stream)
            await names.create(connection)
            await fill(connection, names("a"), 1, messages)
            await until(lambda: bool(reader.holes))
            assert reader.read == [1, 2, 3, 4, 5]
            assert reader.holes[0][0] == 6
            with pytest.raises(Hole):
                await reader.tail.caught_up()

    run(test())


def test_a_stream_that_is_shorter_than_what_was_read_is_a_hole(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            reader = Reader(connection, names.stream, 100)
            await reader.tail.start()
            assert reader.holes == [(100, 5)]

    run(test())


@pytest.mark.parametrize("messages", [1, 5, 50])
def test_a_stream_that_went_back_is_a_hole_however_much_was_published_since(
    server: Server, names: Names, tmp_path: Path, messages: int
) -> None:
    """As after a power cut without fsync, where publishers are faster than who reads."""

    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection, Proxy(server.port) as proxy:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            server.kill()
            shutil.copytree(server.store, tmp_path / "before")
            server.start()
            async with await Connection.open(proxy.url, name="reader") as behind:
                reader = Reader(behind, names.stream)
                await reader.tail.start()
                await fill(connection, names("a"), 6, 10)
                await reader.tail.caught_up()
                proxy.shut()
                server.kill()
                shutil.rmtree(server.store)
                shutil.copytree(tmp_path / "before", server.store)
                server.start()
                await fill(connection, names("b"), 6, 5 + messages)
                proxy.reopen()
                await until(lambda: bool(reader.holes))
                assert reader.holes == [(11, min(5 + messages, 10))]
                assert reader.read == list(range(1, 11))

    run(test())


def test_who_follows_a_state_reads_a_stream_that_went_back_anew(server: Server, names: Names, tmp_path: Path) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            server.kill()
            shutil.copytree(server.store, tmp_path / "before")
            server.start()
            anew: list[bool] = []
            reader = Reader(connection, names.stream, filter_subject=names(">"), on_anew=lambda: anew.append(True))
            await reader.tail.start()
            await fill(connection, names("a"), 6, 10)
            await reader.tail.caught_up()
            server.kill()
            shutil.rmtree(server.store)
            shutil.copytree(tmp_path / "before", server.store)
            server.start()
            await until(lambda: len(reader.read) == 15)
            await fill(connection, names("a"), 6, 7)
            assert await reader.tail.caught_up() == 7
            assert reader.read == [*range(1, 11), *range(1, 8)]
            assert anew == [True] and not reader.holes
            await reader.tail.stop()

    run(test())


def test_with_a_filter_only_what_matches_is_read_and_gaps_are_no_holes(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            for number in range(1, 11):
                await fill(connection, names("even" if number % 2 == 0 else "odd"), number, number)
            reader = Reader(connection, names.stream, filter_subject=names("even"))
            await reader.tail.start()
            assert await reader.tail.caught_up() == 10
            await fill(connection, names("odd"), 11, 11)
            assert await reader.tail.caught_up() == 10
            assert reader.read == [2, 4, 6, 8, 10]
            assert reader.holes == []
            await reader.tail.stop()

    run(test())


def test_a_pause_holds_back_all_but_what_was_asked_for(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5_000)
            reader = Reader(connection, names.stream)
            reader.tail.pause()
            await reader.tail.start()
            await connection.streams.account()
            assert reader.read == []
            reader.tail.resume()
            assert await reader.tail.caught_up() == 5_000
            await reader.tail.stop()

    run(test())


def test_who_waits_for_a_tail_that_is_stopped_is_told(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            await names.create(connection)
            await fill(connection, names("a"), 1, 5)
            reader = Reader(connection, names.stream)
            reader.tail.pause()
            await reader.tail.start()
            waiting = asyncio.ensure_future(reader.tail.caught_up())
            await connection.streams.account()
            await reader.tail.stop()
            with pytest.raises(ConnectionClosed, match="stopped"):
                await waiting

    run(test())


def test_a_stream_that_is_not_there_is_named(shared: Server, names: Names) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="test") as connection:
            with pytest.raises(NotFound, match=names.stream):
                await Reader(connection, names.stream).tail.start()

    run(test())
