"""Large bodies: they go through, signed or not, and the process that takes them needs no more memory for them than for small ones."""

from __future__ import annotations

import hmac
import os
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from jetfleet.triggers.webhook.multipart import parts
from jetfleet.triggers.webhook.spool import KEPT_BYTES, Spool

from ...fleet.running import run
from .calling import Headers, line, post, request
from .hooks import flow, hooks

LARGE_BYTES = 96 << 20
KEY = b"k-123"
MULTIPART = ("Content-Type", "multipart/form-data; boundary=edge")


def spooled(*pieces: bytes) -> Spool:
    """As the server does it."""
    spool = Spool()
    for piece in pieces:
        if spool.add(piece):
            spool.write_out()
    return spool


@pytest.mark.parametrize("size", [0, 1, KEPT_BYTES, KEPT_BYTES + 1, 5 * KEPT_BYTES + 7])
def test_a_spool_gives_what_it_got_wherever_that_lies(size: int) -> None:
    data = os.urandom(size)
    spool = spooled(*(data[place : place + 65_536] for place in range(0, size, 65_536)))
    assert (spool.nbytes, spool.read(), b"".join(spool.pieces())) == (size, data, data)
    file = spool.file("a.bin")
    del spool
    assert (file.name, file.nbytes) == ("a.bin", size)
    assert (bytes(file.body) if size <= KEPT_BYTES else file.read()) == data  # type: ignore[union-attr]


def form(file: bytes) -> bytes:
    return b'--edge\r\nContent-Disposition: form-data; name="scan"; filename="a.bin"\r\n\r\n' + file + b"\r\n--edge--\r\n"


@pytest.mark.parametrize("inside", [b"\r\n--edg", b"\r\n", b"\r", b"-", b"--edge", b"\r\n--edgy\r\n"])
def test_what_looks_like_the_edge_of_a_form_is_part_of_its_file(inside: bytes) -> None:
    """Wherever the body is cut."""
    file = inside * 3 + b"x" + inside
    body = form(file)
    for cut in range(len(body)):
        ((name, found),) = parts([body[:cut], body[cut:]], "edge")
        assert (name, bytes(found.body)) == ("scan", file)


def memory_bytes() -> int:
    """What this process has of its own: files that are mapped do not count."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) << 10


def pieces(count: int) -> Iterator[bytes]:
    """A form with a large file."""
    head, _, tail = form(b"|").partition(b"|")
    yield head
    for number in range(count >> 20):
        yield number.to_bytes(4, "big") * (1 << 18)
    yield tail


def test_a_large_file_comes_through_in_little_memory(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JETFLEET_SECRET_SHOP", KEY.decode())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    mac = hmac.new(KEY, digestmod="sha256")
    length = sum(map(len, pieces(LARGE_BYTES)))
    for piece in pieces(LARGE_BYTES):
        mac.update(piece)
    head: Headers = [MULTIPART, ("X-Hub-Signature-256", f"sha256={mac.hexdigest()}"), ("Content-Length", str(length))]

    async def test() -> None:
        params = {"max_body_bytes": 1 << 30, "read_timeout_ms": 60_000, "auth": {"type": "github", "secret": "shop"}}
        async with hooks(fresh_url, tmp_path, flow("f", t=params)) as one, line(one.address) as connection:
            most = before = memory_bytes()
            connection.send(request("POST", "/", None, head))
            for piece in pieces(LARGE_BYTES):
                connection.send(piece)
                await connection.writer.drain()
                most = max(most, memory_bytes())
            answer = await connection.answer()
            assert answer.status == 202, answer.body
            most = max(most, memory_bytes())
            assert most - before < LARGE_BYTES / 2
            assert len(await one.events()) == 1

    run(test(), 60)


def test_a_large_file_arrives_as_it_was_sent(fresh_url: str, tmp_path: Path) -> None:
    body = b"".join(pieces(8 << 20))

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"max_body_bytes": 16 << 20}), runs=True) as one:
            answer = await post(one.address, "/", headers=[MULTIPART], body=body)
            result = await (await one.client.handle(answer.value["run"])).result()
            assert result.completed, result.error
            scan = result.output["scan"]
            assert scan.name == "a.bin"
            assert sha256(scan.body).digest() == sha256(b"".join(list(pieces(8 << 20))[1:-1])).digest()

    run(test())


def test_where_no_room_is_left_a_large_body_is_told_to_come_back(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"max_body_bytes": 16 << 20})) as one:
            answer = await post(one.address, "/", headers=[MULTIPART], body=b"".join(pieces(8 << 20)))
            assert (answer.status, answer.code) == (503, "BUSY") and "retry-after" in answer.headers
            assert (await post(one.address, "/", {"small": True})).status == 202

    run(test())
