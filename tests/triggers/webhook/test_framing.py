"""Where a request begins and ends: what readers could see differently is refused, and nobody's answer gets lost or out of order."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from jetfleet.triggers.webhook import protocol
from jetfleet.triggers.webhook.protocol import HEAD_MAX_BYTES

from ...fleet.running import run
from ...fleet.trouble import until
from .calling import line, request
from .hooks import flow, hooks

TOLD_APART: list[tuple[bytes, int]] = [
    (b"POST / HTTP/1.1\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"POST /\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nX-Folded: a\r\n b\r\n\r\n", 400),
    (b"POST / HTTP/1.1\nHost: a\n\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
    (b"POST http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
]


def test_what_two_readers_could_take_for_different_requests_is_refused(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.02)

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one:
            for sent, status in TOLD_APART:
                async with line(one.address) as connection:
                    connection.send(sent)
                    answer = await connection.answer()
                    assert (answer.status, answer.headers["connection"]) == (status, "close"), sent
                    assert await connection.closed() == b"", sent
            assert await one.events() == []
            async with line(one.address) as connection:  # an older caller
                connection.send(b"POST / HTTP/1.0\r\n\r\n")
                assert (await connection.answer()).status == 202

    run(test())


CHUNKED = b"POST / HTTP/1.1\r\nHost: hooks\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_what_follows_a_body_is_no_part_of_its_head(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            connection.send(
                CHUNKED + b"1;note=x\r\n7\r\n0\r\nIdempotency-Key: a\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n" + request("POST", "/", b"8")
            )
            assert [(await connection.answer()).status for _ in range(2)] == [202] * 2
            assert await one.payloads() == [7, 8]
            assert set((await one.metas())[0]["headers"]) == {"host", "transfer-encoding"}

    run(test())


@pytest.mark.parametrize("endless", [b"1\r\n7\r\n0\r\nX-Long: ", b"1\r\n7\r\n1;note="])
def test_what_frames_a_body_is_not_collected_without_end(fresh_url: str, tmp_path: Path, endless: bytes) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            connection.send(CHUNKED + endless + b"x" * 20 * HEAD_MAX_BYTES)
            assert (await connection.answer()).status == 431
            assert await one.events() == []

    run(test())


@pytest.mark.parametrize(
    "nonsense", [b"NONSENSE\r\n\r\n", CHUNKED + b"zz\r\n", request("POST", "/", None, [("X-Long", "x" * HEAD_MAX_BYTES)])]
)
def test_who_makes_no_sense_at_last_gets_the_answers_to_what_did_before(fresh_url: str, tmp_path: Path, nonsense: bytes) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            connection.send(request("POST", "/", b"{}") * 20 + nonsense)
            assert [(await connection.answer()).status for _ in range(20)] == [202] * 20
            assert (await connection.answer()).status in (400, 431)
            assert await connection.closed() == b""
            assert len(await one.events()) == 20

    run(test())


def test_who_has_said_all_may_still_wait_for_its_answers(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            connection.send(request("POST", "/", b"1") + request("POST", "/", b"2"))
            connection.writer.write_eof()
            answers = [await connection.answer() for _ in range(2)]
            assert [(answer.status, answer.headers.get("connection")) for answer in answers] == [(202, None), (202, "close")]
            assert await connection.closed() == b""

    run(test())


def test_who_does_not_read_its_answer_is_cut_off(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "UNREAD_S", 0.2)
    large = msgspec.json.encode("x" * (16 << 20))

    async def test() -> None:
        params = {"wait": True, "max_body_bytes": 32 << 20}
        async with hooks(fresh_url, tmp_path, flow("f", t=params), runs=True) as one, line(one.address) as reading:
            reading.send(request("POST", "/", large, [("Content-Type", "application/json")]))
            assert (await reading.answer()).value["output"] == "x" * (16 << 20)
            async with line(one.address) as stalled:
                stalled.send(request("POST", "/", large, [("Content-Type", "application/json")]))
                await stalled.reader.readexactly(1)  # the answer has begun, and is read no further
                transport = stalled.writer.transport
                transport.pause_reading()
                (listener,) = {each._listener for each in [await one.source("f", "t")]}
                assert listener is not None
                await until(lambda: len(listener._server.state.connections) == 1, "a connection that is cut off")

    run(test())
