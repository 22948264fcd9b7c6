"""A connection is opened to a server that can do what is needed, or the error says why not and what to do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection, NoJetStream, NotAuthorized, ServerTooOld, Unreachable, opening
from jetfleet.schemas.errors import UsageError

from .servers import Server, run


async def open_and_close(url: str | list[str], **options: str) -> str:
    async with await Connection.open(url, name="test", **options) as connection:
        return connection.server_version


def test_a_connection_knows_its_server(shared: Server) -> None:
    async def test() -> None:
        async with await Connection.open(shared.url, name="worker-1") as connection:
            assert connection.is_connected
            assert connection.name == "worker-1"
            assert connection.max_payload == 1 << 20
            assert connection.server_version.count(".") == 2
        assert not connection.is_connected

    run(test())


def test_one_server_of_several_is_enough(shared: Server) -> None:
    assert run(open_and_close(["nats://127.0.0.1:1", shared.url]))


def test_a_server_that_is_just_starting_is_waited_for(tmp_path: Path) -> None:
    server = Server(tmp_path)

    async def test() -> None:
        opening = asyncio.create_task(open_and_close(server.url))
        await asyncio.sleep(0)
        server.start()
        assert await opening

    try:
        run(test())
    finally:
        server.kill()


def test_without_a_server_the_error_says_where_and_how_to_start_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_S", 0.3)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 .*jetfleet server") as caught:
        run(open_and_close("nats://me:secret@127.0.0.1:1"))
    assert "secret" not in str(caught.value)
    assert not caught.value.maybe_done


def test_a_server_that_accepts_and_says_nothing_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_S", 0.3)

    async def test() -> None:
        mute = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        async with mute:
            await open_and_close(f"nats://127.0.0.1:{mute.sockets[0].getsockname()[1]}")

    with pytest.raises(Unreachable):
        run(test())


@pytest.mark.parametrize("version", ["2.11.9", "2.10.29-RC.1", "1.4.1"])
def test_an_older_server_is_refused(version: str) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As much of an old server as a client sees before it gives up."""
        info = {"server_id": "old", "version": version, "proto": 1, "max_payload": 1 << 20, "headers": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        while line := await reader.readline():
            if line.startswith(b"PING"):
                writer.write(b"PONG\r\n")
        writer.close()

    async def test() -> None:
        old = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with old:
            await open_and_close(f"nats://127.0.0.1:{old.sockets[0].getsockname()[1]}")

    with pytest.raises(ServerTooOld, match=rf"{version}: 2\.12\.0 or newer"):
        run(test())


def test_a_server_that_stores_nothing_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path, jetstream=False)
    server.start()
    try:
        with pytest.raises(NoJetStream, match="start it with `-js`"):
            run(open_and_close(server.url))
    finally:
        server.kill()


def test_credentials_are_refused_at_once_and_accepted_in_the_url(tmp_path: Path) -> None:
    server = Server(tmp_path, config='authorization { user: "me", password: "secret" }')
    server.start()
    try:
        with pytest.raises(NotAuthorized, match="user and password"):
            run(open_and_close(server.url.replace("//", "//me:wrong@")))
        with pytest.raises(NotAuthorized):
            run(open_and_close(server.url))
        assert run(open_and_close(server.url.replace("//", "//me:secret@")))
    finally:
        server.kill()


def test_a_token_in_the_url_is_used(tmp_path: Path) -> None:
    server = Server(tmp_path, config='authorization { token: "sesame" }')
    server.start()
    try:
        assert run(open_and_close(server.url.replace("//", "//sesame@")))
    finally:
        server.kill()


@pytest.mark.parametrize("url", ["", "http://localhost", "nats://", "nats://host:port", "nats://host:99999", []])
def test_what_is_no_url_is_refused(url: str | list[str]) -> None:
    with pytest.raises(UsageError, match="nats://"):
        run(open_and_close(url))


def test_a_missing_credentials_file_is_named(shared: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.creds"):
        run(open_and_close(shared.url, credentials=str(tmp_path / "none.creds")))
