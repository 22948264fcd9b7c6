"""Publishing with patience, to a real server: what is full or away is waited for, what is refused for good is given up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.patient import PatientPublisher

from ..fleet.conftest import start_server
from ..fleet.running import run
from ..fleet.trouble import until

STREAM = {"name": "S", "subjects": ["s.>"], "storage": "file", "discard": "new", "allow_direct": True}


@asynccontextmanager
async def publisher(url: str) -> AsyncIterator[tuple[Connection, PatientPublisher]]:
    async with await Connection.open(url, name="patient") as connection:
        patient = PatientPublisher(connection)
        yield connection, patient
        await patient.close()


class Settled:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


async def stored(connection: Connection) -> list[bytes]:
    return [message.data async for message in connection.streams.read("S")]


def test_what_is_stored_is_settled_once_and_an_id_is_stored_once(url: str) -> None:
    async def test() -> None:
        async with publisher(url) as (connection, patient):
            await connection.streams.create_or_update_stream(STREAM)
            settled = Settled()
            for _ in range(3):
                patient.publish("s.a", b"same", settled, id="one")
            patient.publish("s.a", b"other", settled, headers={"X": "1"})
            await until(lambda: settled.count == 4, "all are settled")
            assert sorted(await stored(connection)) == [b"other", b"same"]
            assert patient.blocked_by is None

    run(test())


def test_a_full_stream_is_waited_for(url: str) -> None:
    async def test() -> None:
        async with publisher(url) as (connection, patient):
            await connection.streams.create_or_update_stream({**STREAM, "max_msgs": 1})
            settled = Settled()
            patient.publish("s.a", b"first", settled)
            await until(lambda: settled.count == 1, "the first is stored")
            patient.publish("s.a", b"second", settled)
            await until(lambda: patient.blocked_by is not None, "the stream is full")
            assert settled.count == 1
            await connection.streams.purge("S")
            await until(lambda: settled.count == 2, "the second is stored")
            assert await stored(connection) == [b"second"] and patient.blocked_by is None

    run(test())


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    server = start_server(tmp_path / "nats")

    async def test() -> None:
        async with publisher(server.url) as (connection, patient):
            await connection.streams.create_or_update_stream(STREAM)
            settled = Settled()
            await asyncio.to_thread(server.kill)
            patient.publish("s.a", b"late", settled)
            await asyncio.to_thread(server.restart)
            await until(lambda: settled.count == 1, "it is stored")
            assert await stored(connection) == [b"late"]

    try:
        run(test())
    finally:
        server.stop()


def test_what_is_refused_for_good_is_given_up_and_holds_nothing_up(url: str) -> None:
    async def test() -> None:
        async with publisher(url) as (connection, patient):
            await connection.streams.create_or_update_stream(STREAM)
            settled = Settled()
            patient.publish("s.a", bytes(connection.max_payload + 1), settled)
            await until(lambda: settled.count == 1, "it is given up")
            patient.publish("s.a", b"next", settled)
            await until(lambda: settled.count == 2, "the next one is stored")
            assert await stored(connection) == [b"next"]

    run(test())


def test_closing_ends_what_still_waits(url: str) -> None:
    async def test() -> None:
        settled = Settled()
        async with publisher(url) as (connection, patient):
            await connection.streams.create_or_update_stream({**STREAM, "max_msgs": 0, "max_bytes": 10})
            patient.publish("s.a", bytes(100), settled)
            await until(lambda: patient.blocked_by is not None, "there is no room")
        assert settled.count == 0

    run(test())
