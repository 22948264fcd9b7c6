"""HTTP requests of nodes: where they may go, whatever the url looks like, and how much of an answer they take."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from jetfleet.schemas.errors import NodeError, Permanent, UsageError
from jetfleet.workers import http_client
from jetfleet.workers.http_client import HttpResponse, PooledHttpClient
from jetfleet.workers.private_addresses import VARIABLE, is_public

from ..fleet.running import run

DENIED = {VARIABLE: "deny"}
HERE = (
    "127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "017700000001", "0", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "127.0.0.1.", "%31%32%37.0.0.1", "①②⑦.0.0.1",
)  # fmt: skip
"""Spellings of this host."""
NOT_PUBLIC = (
    "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1",
    "240.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a00:1::",
    "2001:db8::1",
)  # fmt: skip


@asynccontextmanager
async def server(answer: Callable[[bytes], bytes], heard: list[bytes]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        heard.append(asked)
        writer.write(answer(asked))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as started:
        yield started.sockets[0].getsockname()[1]


def response(body: bytes = b"here", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


async def got(url: str, environ: dict[str, str], **options: object) -> HttpResponse:
    client = PooledHttpClient(environ)
    try:
        return await client.request("GET", url, timeout_s=5, **options)  # type: ignore[arg-type]
    finally:
        await client.close()


@pytest.mark.parametrize("host", HERE)
def test_where_private_addresses_are_denied_no_spelling_of_this_host_is_connected_to(host: str) -> None:
    async def test() -> None:
        heard: list[bytes] = []
        async with server(lambda asked: response(), heard) as port:
            with pytest.raises(NodeError) as caught:
                await got(f"http://{host}:{port}/", DENIED)
            assert caught.value.type in ("http_address", "http_url", "http_connection")
        assert not heard

    run(test())


def test_the_error_says_why_and_is_not_tried_again() -> None:
    with pytest.raises(Permanent, match=r"127\.0\.0\.1 is no public address.*JETFLEET_HTTP_PRIVATE=deny") as caught:
        run(got("http://127.0.0.1:9/", DENIED))
    assert caught.value.type == "http_address"


def test_private_addresses_are_connected_to_unless_they_are_denied() -> None:
    async def test() -> None:
        async with server(lambda asked: response(), []) as port:
            assert (await got(f"http://localhost:{port}/", {})).content == b"here"

    run(test())


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_what_is_not_everybody_s_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_what_is_everybody_s_is_public(address: str) -> None:
    assert is_public(address)


def test_a_redirect_to_a_private_address_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        inside: list[bytes] = []
        async with (
            server(lambda asked: response(), inside) as port,
            server(lambda asked: response(b"", f"Location: http://127.0.0.2:{port}/", status="302 Found"), []) as outside,
        ):
            monkeypatch.setattr("jetfleet.workers.private_addresses.is_public", lambda address: address == "127.0.0.1")
            with pytest.raises(Permanent, match=r"127\.0\.0\.2"):
                await got(f"http://127.0.0.1:{outside}/", DENIED)
        assert not inside

    run(test())


def test_credentials_do_not_follow_a_redirect_to_another_host() -> None:
    async def test() -> None:
        heard: list[bytes] = []
        async with (
            server(lambda asked: response(), heard) as port,
            server(lambda asked: response(b"", f"Location: http://localhost:{port}/", status="302 Found"), []) as first,
        ):
            await got(f"http://127.0.0.1:{first}/", {}, headers={"Authorization": "Bearer sesame", "Cookie": "id=sesame"})
        assert len(heard) == 1 and b"sesame" not in heard[0]

    run(test())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "/etc/passwd", "http://"])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(Permanent) as caught:
        run(got(url, {}))
    assert caught.value.type == "http_url"


def test_an_answer_that_unpacks_to_more_than_may_come_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "BODY_BYTES_MAX", 1 << 20)
    bomb = gzip.compress(bytes(64 << 20))
    assert len(bomb) < 100_000

    async def test() -> None:
        async with server(lambda asked: response(bomb, "Content-Encoding: gzip"), []) as port:
            with pytest.raises(Permanent) as caught:
                await got(f"http://127.0.0.1:{port}/", {})
            assert caught.value.type == "http_too_large"

    run(test())


def test_a_word_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="say allow or deny"):
        PooledHttpClient({VARIABLE: "no"})
