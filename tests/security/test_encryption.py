"""TLS between a process and the server: each right way in works, each wrong one is refused with the reason, and nothing is said in clear."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection, NotTrusted
from jetfleet.broker.credentials import Credentials
from jetfleet.broker.server import EmbeddedServer, ServerSettings
from jetfleet.schemas.cli import FAILED, main
from jetfleet.schemas.errors import UsageError

from ..fleet.running import run
from ..fleet.trouble import until
from .certificates import Authority, Pair
from .servers import SecuredServer, secured


def tls(pair: Pair, clients: Authority | None = None) -> str:
    asked = f', ca_file: "{clients.file}", verify: true' if clients else ""
    return f'tls {{ cert_file: "{pair.certificate}", key_file: "{pair.key}"{asked} }}\n'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecuredServer]:
    with secured(tmp_path_factory.mktemp("tls"), tls(authority.vouch("server", "127.0.0.1"))) as started:
        yield started


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[SecuredServer]:
    """It asks clients for a certificate, too."""
    with secured(tmp_path_factory.mktemp("mutual"), tls(authority.vouch("mutual", "127.0.0.1"), authority)) as started:
        yield started


async def opened(url: str, **said: str | None) -> None:
    async with await Connection.open(url, name="test", credentials=Credentials(**said)) as connection:  # type: ignore[arg-type]
        assert await connection.streams.names() == []


@pytest.mark.parametrize("scheme", ["tls", "nats"])
def test_a_server_that_is_vouched_for_is_spoken_to(server: SecuredServer, authority: Authority, scheme: str) -> None:
    run(opened(server.url.replace("nats:", f"{scheme}:"), tls_ca=str(authority.file)))


def test_the_end_of_an_encrypted_connection_is_no_warning(
    server: SecuredServer, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    run(opened(server.url, tls_ca=str(authority.file)))
    assert "eof_received" not in caplog.text


def test_a_connection_that_is_cut_comes_back_encrypted(tmp_path: Path, authority: Authority) -> None:
    async def test() -> None:
        with secured(tmp_path, tls(authority.vouch("cut", "127.0.0.1"))) as server:
            url, trusted = server.url.replace("nats:", "tls:"), Credentials(tls_ca=str(authority.file))
            async with await Connection.open(url, name="test", credentials=trusted) as connection:
                await asyncio.to_thread(server.restart)
                await until(lambda: connection.is_connected, "a connection again")
                assert await connection.streams.names() == []

    run(test())


def test_a_server_that_nobody_here_vouches_for_is_refused(server: SecuredServer, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    for said in ({"tls_ca": str(other.file)}, {}):
        with pytest.raises(NotTrusted, match=r"certificate is not believed .*--tls-ca"):
            run(opened(server.url.replace("nats:", "tls:"), **said))


def test_a_certificate_for_another_host_is_refused(tmp_path: Path, authority: Authority) -> None:
    with secured(tmp_path, tls(authority.vouch("elsewhere", "nats.example"))) as server, pytest.raises(NotTrusted, match="not valid for"):
        run(opened(server.url, tls_ca=str(authority.file)))


def test_an_expired_certificate_is_refused(tmp_path: Path, authority: Authority) -> None:
    with secured(tmp_path, tls(authority.vouch("old", "127.0.0.1", expired=True))) as server, pytest.raises(NotTrusted, match="expired"):
        run(opened(server.url, tls_ca=str(authority.file)))


@pytest.mark.parametrize("by", ["scheme", "option"])
def test_to_a_server_that_does_not_encrypt_nothing_is_said(authority: Authority, by: str) -> None:
    """Not even the password, which nats-py would send in clear."""
    heard = bytearray()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "plain", "version": "2.12.0", "proto": 1, "max_payload": 1 << 20, "headers": True, "auth_required": True}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        heard.extend(await reader.read())
        writer.close()

    async def test() -> None:
        plain = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with plain:
            scheme, said = ("tls", {}) if by == "scheme" else ("nats", {"tls_ca": str(authority.file)})
            with pytest.raises(NotTrusted, match="does not encrypt"):
                await opened(f"{scheme}://me:open-sesame@127.0.0.1:{plain.sockets[0].getsockname()[1]}", **said)

    run(test())
    assert not heard


def test_a_client_shows_its_certificate_where_it_is_asked_for(mutual: SecuredServer, authority: Authority) -> None:
    own = authority.vouch("client")
    run(opened(mutual.url, tls_ca=str(authority.file), tls_cert=str(own.certificate), tls_key=str(own.key)))


@pytest.mark.parametrize("kind", ["none", "of another authority", "expired"])
def test_a_client_without_a_good_certificate_is_refused(mutual: SecuredServer, authority: Authority, tmp_path: Path, kind: str) -> None:
    voucher = Authority(tmp_path, "strangers") if kind == "of another authority" else authority
    own = voucher.vouch("stranger", expired=kind == "expired")
    shown = {} if kind == "none" else {"tls_cert": str(own.certificate), "tls_key": str(own.key)}
    with pytest.raises(NotTrusted, match=r"--tls-cert"):
        run(opened(mutual.url, tls_ca=str(authority.file), **shown))


def test_a_command_says_what_is_wrong_and_how_to_mend_it(
    server: SecuredServer, authority: Authority, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.url.replace("//", "//me:open-sesame@")
    assert main(["flow", "list", "--nats", url]) == FAILED
    said = capsys.readouterr().err
    assert said.startswith("error: NOT_TRUSTED") and "--tls-ca" in said and "sesame" not in said


def test_files_that_are_no_certificates_are_named(tmp_path: Path, authority: Authority, server: SecuredServer) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    own = authority.vouch("half")
    with pytest.raises(UsageError, match=r"there is no file .*missing"):
        run(opened(server.url, tls_ca=str(tmp_path / "missing.pem")))
    with pytest.raises(UsageError, match=r"nonsense\.pem: not usable for TLS"):
        run(opened(server.url, tls_ca=str(nonsense)))
    with pytest.raises(UsageError, match="not usable for TLS"):
        run(opened(server.url, tls_cert=str(own.certificate)))  # its key is elsewhere
    with pytest.raises(UsageError, match="a key for TLS and no certificate"):
        Credentials(tls_key=str(own.key))


def test_the_embedded_server_encrypts_and_asks_for_certificates(tmp_path: Path, authority: Authority) -> None:
    pair, own = authority.vouch("embedded", "127.0.0.1"), authority.vouch("client")
    settings = ServerSettings(
        data=tmp_path / "data", port=0, tls_cert=pair.certificate, tls_key=pair.key, tls_ca=authority.file, restarts=0
    )

    async def test() -> None:
        async with EmbeddedServer(settings) as server:
            assert server.url.startswith("tls://")
            await opened(server.url, tls_ca=str(authority.file), tls_cert=str(own.certificate), tls_key=str(own.key))
            with pytest.raises(NotTrusted):
                await opened(server.url, tls_ca=str(authority.file))

    run(test())


@pytest.mark.parametrize("said", [{"tls_cert": Path("a")}, {"tls_key": Path("a")}, {"tls_ca": Path("a")}])
def test_half_of_what_tls_needs_is_refused(said: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match="--tls-cert, --tls-key"):
        ServerSettings(**said)  # type: ignore[arg-type]
