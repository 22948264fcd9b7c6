"""Users of a server: what is printed is what a server takes, and what is missing or contradicts itself is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection, Denied, NotAuthorized
from jetfleet.broker.permissions import ROLES
from jetfleet.broker.server import EmbeddedServer, ServerSettings
from jetfleet.broker.server.errors import ServerDiffers, ServerFailed
from jetfleet.broker.server.roles import inbox
from jetfleet.schemas.cli import USAGE, main
from jetfleet.schemas.errors import UsageError

from ..docs.tables import DOCS
from ..fleet.running import run
from .keys import Key
from .servers import PASSWORD, credentials


def printed(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["server", "permissions", *options]) == 0
    return capsys.readouterr().out


def test_what_is_printed_is_what_a_server_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    users = tmp_path / "users.conf"
    users.write_text(printed(capsys))
    assert PASSWORD not in users.read_text()
    for role in ROLES:
        monkeypatch.setenv(f"JETFLEET_PASSWORD_{role.upper()}", PASSWORD)

    async def test() -> None:
        async with EmbeddedServer(ServerSettings(data=tmp_path / "data", port=0, users=users, restarts=0)) as server:
            for role in ROLES:
                url = server.url.replace("//", f"//{role}:{PASSWORD}@")
                async with await Connection.open(url, name="test", credentials=credentials(role)) as connection:
                    with pytest.raises(Denied):
                        await connection.publisher.publish("anything.else", b"")
            with pytest.raises(NotAuthorized):
                await Connection.open(server.url, name="nobody")
            assert (server.data / "server.conf").stat().st_mode & 0o077 == 0

    run(test(), 40)


def test_users_prove_themselves_by_nkeys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    users, key = tmp_path / "users.conf", Key("U")
    users.write_text(printed(capsys, "--role", "worker", "--by", "nkey"))
    monkeypatch.setenv("JETFLEET_NKEY_WORKER", key.public)

    async def test() -> None:
        async with EmbeddedServer(ServerSettings(data=tmp_path / "data", port=0, users=users, restarts=0)) as server:
            said = type(credentials("worker"))(file=key.saved(tmp_path / "worker.nk"), inbox=inbox("worker"))
            async with await Connection.open(server.url, name="test", credentials=said) as connection:
                with pytest.raises(Denied):
                    await connection.publisher.publish("flow.orders", b"")

    run(test())


def test_for_programs_it_is_an_object_per_role(capsys: pytest.CaptureFixture[str]) -> None:
    found = {each["role"]: each for each in map(json.loads, printed(capsys, "--format", "json").splitlines())}
    assert tuple(found) == ROLES
    assert found["publisher"]["inbox"] == "_INBOX_publisher" and "_INBOX_publisher.>" in found["publisher"]["subscribe"]
    (alone,) = map(json.loads, printed(capsys, "--role", "publisher", "--flow", "orders", "--format", "json").splitlines())
    assert "events.orders.>" in alone["publish"] and "events.>" not in alone["publish"] and "queue.>" not in alone["publish"]


def test_a_password_that_is_not_set_lets_nobody_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JETFLEET_PASSWORD_WORKER", raising=False)
    users = tmp_path / "users.conf"
    users.write_text(printed(capsys, "--role", "worker"))

    async def test() -> None:
        await EmbeddedServer(ServerSettings(data=tmp_path / "data", port=0, users=users, restarts=0)).start()

    with pytest.raises(ServerFailed, match="JETFLEET_PASSWORD_WORKER"):
        run(test())


def test_a_file_without_users_does_not_open_the_server(tmp_path: Path) -> None:
    users = tmp_path / "users.conf"
    users.touch()

    async def test() -> None:
        await EmbeddedServer(ServerSettings(data=tmp_path / "data", port=0, users=users, restarts=0)).start()

    with pytest.raises(ServerDiffers, match="names no user"):
        run(test())


@pytest.mark.parametrize("option", [("--flow", ">"), ("--flow", "two words"), ("--queue", "*"), ("--host", "a.b")])
def test_a_name_that_is_none_allows_nothing(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["server", "permissions", *option]) == USAGE
    said = capsys.readouterr()
    assert not said.out and option[1] in said.err


def test_two_ways_in_contradict_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    users = tmp_path / "users.conf"
    users.write_text("authorization { users: [] }")
    with pytest.raises(UsageError, match="one of the users of a file"):
        ServerSettings(users=users, token="sesame")
    assert main(["server", "--users", str(tmp_path / "missing.conf")]) == USAGE
    assert "missing.conf" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "is_open", "in_clear"),
    [
        ({}, False, False),
        ({"host": "0.0.0.0"}, True, True),
        ({"host": "0.0.0.0", "token": "sesame"}, False, True),
        ({"host": "0.0.0.0", "users": Path("u")}, False, True),
        ({"host": "0.0.0.0", "tls_cert": Path("c"), "tls_key": Path("k")}, True, False),
        ({"host": "0.0.0.0", "tls_cert": Path("c"), "tls_key": Path("k"), "tls_ca": Path("a")}, False, False),
        ({"host": "localhost"}, False, False),
    ],
)
def test_a_server_knows_whether_it_is_open(said: dict[str, object], is_open: bool, in_clear: bool) -> None:
    settings = ServerSettings(**said)  # type: ignore[arg-type]
    assert (settings.is_open, settings.in_clear) == (is_open, in_clear)


def test_the_page_lists_the_roles_that_there_are() -> None:
    table = (DOCS / "security.md").read_text().partition("<!-- table: roles -->\n")[2].partition("\n\n")[0]
    assert tuple(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == ROLES
