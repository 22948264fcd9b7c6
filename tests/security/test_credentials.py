"""Who a process is: each way to say it is understood, each wrong one is refused at once, and no secret is repeated by an error."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection, NotAuthorized
from jetfleet.broker.credentials import Credentials
from jetfleet.schemas.cli import FAILED, USAGE, main
from jetfleet.schemas.errors import UsageError

from ..fleet.running import run
from .keys import Key, Operator
from .servers import SecuredServer, secured


async def opened(url: str, file: str | None = None) -> None:
    async with await Connection.open(url, name="test", credentials=Credentials(file=file)) as connection:
        assert await connection.streams.names() == []


def with_secret(url: str, secret: str) -> str:
    return url.replace("//", f"//{secret}@")


@pytest.fixture(scope="module", params=["user", "token"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SecuredServer, str]]:
    """A server, and what stands in front of its address."""
    said, right = {
        "user": ('authorization { user: "me", password: "open-sesame" }\n', "me:open-sesame"),
        "token": ('authorization { token: "open-sesame" }\n', "open-sesame"),
    }[request.param]
    with secured(tmp_path_factory.mktemp(request.param), said) as started:
        yield started, right


def test_what_stands_in_the_url_lets_in(server: tuple[SecuredServer, str]) -> None:
    started, right = server
    run(opened(with_secret(started.url, right)))


@pytest.mark.parametrize("wrong", ["", "me:closed-sesame@", "closed-sesame@", "you:open-sesame@", "me:@"])
def test_a_wrong_one_is_refused_and_not_repeated(server: tuple[SecuredServer, str], wrong: str) -> None:
    with pytest.raises(NotAuthorized, match="refuses the credentials") as caught:
        run(opened(server[0].url.replace("//", f"//{wrong}")))
    assert "sesame" not in str(caught.value)


def test_a_command_that_is_refused_says_so_without_the_secret(
    server: tuple[SecuredServer, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["flow", "list", "--nats", with_secret(server[0].url, "me:closed-sesame")]) == FAILED
    said = capsys.readouterr().err
    assert said.startswith("error: NOT_AUTHORIZED") and "sesame" not in said


def test_an_nkey_lets_in_and_another_one_does_not(tmp_path: Path) -> None:
    known, unknown = Key("U"), Key("U")
    with secured(tmp_path, f"authorization {{ users: [ {{ nkey: {known.public} }} ] }}\n") as started:
        run(opened(started.url, known.saved(tmp_path / "known.nk")))
        for file in (unknown.saved(tmp_path / "unknown.nk"), None):
            with pytest.raises(NotAuthorized):
                run(opened(started.url, file))


def test_a_creds_file_lets_in_and_expired_or_forged_ones_do_not(tmp_path: Path) -> None:
    operator = Operator()
    with secured(tmp_path, operator.said) as started:
        run(opened(started.url, operator.creds(tmp_path / "good.creds")))
        for wrong in (
            operator.creds(tmp_path / "expired.creds", expired=True),
            operator.creds(tmp_path / "forged.creds", voucher=Key("A")),
            Operator().creds(tmp_path / "other.creds"),
            None,
        ):
            with pytest.raises(NotAuthorized):
                run(opened(started.url, wrong))


def test_a_file_that_holds_no_credentials_is_named_and_not_shown(
    server: tuple[SecuredServer, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mixed-up.txt"
    for content in (b"open-sesame", b"SUOPENSESAME", b"\xff\x00", b""):
        file.write_bytes(content)
        assert main(["flow", "list", "--nats", server[0].url, "--credentials", str(file)]) == USAGE
        said = capsys.readouterr().err
        assert "mixed-up.txt holds no credentials" in said and "sesame" not in said.lower()


@pytest.mark.parametrize("word", ["", "a b", "_INBOX.>", "*", "a..b", "a\r\nb"])
def test_what_is_no_inbox_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is no inbox"):
        Credentials(inbox=word)
