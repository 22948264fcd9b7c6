"""Requests that nobody means well: each is turned away with its reason, costs little, and keeps nobody else waiting."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from jetfleet.triggers.webhook import listener
from jetfleet.triggers.webhook.protocol import HEAD_MAX_BYTES

from ...fleet.running import run
from .calling import Headers, call, line, post, request
from .hooks import Hooks, flow, hooks

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=edge"


async def still_well(one: Hooks) -> None:
    assert (await post(one.address, "/", {"well": True})).status == 202
    assert await one.payloads() == [{"well": True}]


UNREADABLE: list[tuple[str, bytes, int, str]] = [
    ("application/json", b"{", 400, "NOT_JSON"),
    ("application/json", b"{} {}", 400, "NOT_JSON"),
    ("application/json", b"NaN", 400, "NOT_JSON"),
    ("application/json", b'"\\ud800"', 400, "NOT_JSON"),
    ("application/json", b'{"a": "\xff"}', 400, "NOT_UTF8"),
    ("application/json; charset=latin-1", b'"\xe9"', 415, "CHARSET"),
    ("application/json", b"[" * 100_000, 400, "TOO_DEEP"),
    ("application/json", b"[" * 100_000 + b"]" * 100_000, 400, "TOO_DEEP"),
    ("application/json", b'{"a":' * 500 + b"1" + b"}" * 500, 400, "TOO_DEEP"),
    ("application/json", b"1" * 400, 422, "UNENCODABLE"),
    ("text/plain", b"\xc3", 400, "NOT_UTF8"),
    (FORM, b"a=%FF", 400, "NOT_UTF8"),
    (FORM, b"a=1&" * 2_000, 400, "TOO_MANY_FIELDS"),
    (MULTIPART, b"--other\r\n\r\n", 400, "NOT_MULTIPART"),
    (MULTIPART, b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\nnever ends', 400, "NOT_MULTIPART"),
    ("multipart/form-data", b"--edge--", 400, "NOT_MULTIPART"),
    (MULTIPART, b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 2_000 + b"--edge--", 400, "TOO_MANY_FIELDS"),
    (MULTIPART, b"--edge\r\nX-Name: a\r\n\r\nx\r\n--edge--", 400, "NOT_MULTIPART"),
    (MULTIPART, b"--edge\r\nX-Long: " + b"x" * 100_000 + b"\r\n\r\nx\r\n--edge--", 400, "NOT_MULTIPART"),
]


def test_what_cannot_be_read_is_refused(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one:
            for kind, body, status, code in UNREADABLE:
                answer = await post(one.address, "/", headers=[("Content-Type", kind)], body=body)
                assert (answer.status, answer.code) == (status, code), (kind, body[:80])
                assert "Traceback" not in answer.body.decode() and ".py" not in answer.body.decode()
            await still_well(one)

    run(test())


SENSELESS: list[tuple[str, Headers, int]] = [
    ("/json", [("Content-Type", FORM)], 415),
    ("/form", [("Content-Type", "application/json")], 415),
    ("/multipart", [("Content-Type", "text/plain")], 415),
    ("/", [("Content-Encoding", "gzip")], 415),
    ("/", [("Content-Type", "text/plain"), ("Content-Type", "application/json")], 400),
    ("/", [("Idempotency-Key", "a"), ("Idempotency-Key", "b")], 400),
    ("/", [("Idempotency-Key", "k" * 1_000)], 400),
    ("/", [("Transfer-Encoding", "chunked")], 400),
    ("/", [("Content-Length", "3")], 400),
    ("/", [("X-Bad", "a\x00b")], 400),
    ("/", [(f"X-{number}", "x") for number in range(200)], 431),
    ("/", [("X-Long", "x" * HEAD_MAX_BYTES)], 431),
]


def test_heads_that_make_no_sense_are_refused(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        strict = [flow(content, t={"path": f"/{content}", "content": content}) for content in ("json", "form", "multipart")]
        async with hooks(fresh_url, tmp_path, flow("f", t={}), *strict) as one:
            for path, headers, status in SENSELESS:
                answer = await post(one.address, path, headers=headers, body=b"{}")
                assert answer.status == status, (path, headers[:2], answer.body)
            await still_well(one)

    run(test())


def test_only_the_paths_and_methods_of_a_trigger_are_answered(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        paths = {"a": "/orders/{id}", "b": "/orders/new", "c": "/files/{rest:path}"}
        flows = [flow(name, t={"path": path, "methods": ["POST", "PUT"]}) for name, path in paths.items()]
        async with hooks(fresh_url, tmp_path, *flows, flow("d", t={})) as one:
            answers = {
                "/orders/7": 202, "/orders/new": 202, "/files/x/y": 202, "/orders/a%2Fb": 202,
                "/orders": 404, "/orders/": 404, "/orders/7/items": 404, "/Orders/7": 404, "/files": 404, "//orders/7": 404,
                "/orders/..": 400, "/orders/%2e%2e": 400, "/orders/..%2f..%2fetc": 400, "/files/a/../../etc/passwd": 400,
                "/files/a%5c..%5cb": 400, "/orders/%00": 400, "/orders/%0d%0aSet-Cookie:x": 400, "/orders/%ff": 400,
            }  # fmt: skip
            for path, status in answers.items():
                answer = await post(one.address, path, {})
                assert answer.status == status, path
                assert "set-cookie" not in answer.headers
            assert {event["params"].get("id") for event in await one.metas("a")} == {"7", "a/b"}
            refused = await call(one.address, "GET", "/orders/7")
            assert (refused.status, refused.headers["allow"]) == (405, "OPTIONS, POST, PUT")
            assert (await call(one.address, "OPTIONS", "/orders/7")).headers["allow"] == "OPTIONS, POST, PUT"
            assert (await call(one.address, "HEAD", "/orders/7")).status == 405
            assert (await call(one.address, "BREW", "/orders/7")).status in (400, 405)
            assert (await call(one.address, "GET", "/-/health")).value == {"status": "ok"}

    run(test())


def test_a_body_that_is_too_large_is_not_read(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"path": "/small", "max_body_bytes": 1_000}), flow("g", t={})) as one:
            assert (await post(one.address, "/small", body=b'"' + b"x" * 998 + b'"')).status == 202
            assert (await post(one.address, "/small", body=b"x" * 1_001)).code == "TOO_LARGE"
            async with line(one.address) as connection:  # it says how much comes, and sends nothing
                connection.send(b"POST /small HTTP/1.1\r\nHost: hooks\r\nContent-Length: 99999999999\r\n\r\n")
                assert (await connection.answer()).status == 413
            async with line(one.address) as connection:  # it does not say how much comes
                connection.send(b"POST /small HTTP/1.1\r\nHost: hooks\r\nTransfer-Encoding: chunked\r\n\r\n")
                connection.send(b"200\r\n" + b"x" * 512 + b"\r\n")
                connection.send(b"200\r\n" + b"x" * 512 + b"\r\n")
                answer = await connection.answer()
                assert (answer.status, answer.headers["connection"]) == (413, "close")
            await one.client.connection.streams.purge("EVENTS")
            await still_well(one)

    run(test())


def test_chunks_are_put_together(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            connection.send(b"POST / HTTP/1.1\r\nHost: hooks\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
            assert (await connection.answer()).status == 100
            connection.send(b'6\r\n{"well\r\n8\r\n": true}\r\n0\r\n\r\n')
            assert (await connection.answer()).status == 202
            assert await one.payloads() == [{"well": True}]

    run(test())


def test_who_sends_slowly_is_cut_off_and_others_are_served(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"read_timeout_ms": 200})) as one, AsyncExitStack() as stack:
            lines = [await stack.enter_async_context(line(one.address)) for _ in range(40)]
            silent, dripping, hesitant = lines[:10], lines[10:20], lines[20:]
            for each in dripping:
                each.send(b"POST / HTTP/1.1\r\nX-Slow: 1\r\n")
            for each in hesitant:
                each.send(b"POST / HTTP/1.1\r\nHost: hooks\r\nContent-Length: 10\r\n\r\n{")
            await still_well(one)
            for each in (*dripping, *hesitant):
                answer = await each.answer()
                assert (answer.status, answer.code) == (408, "TOO_SLOW")
            for each in silent:
                assert await each.closed() == b""

    run(test())


def test_a_head_without_end_is_not_collected(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            connection.send(b"POST / HTTP/1.1\r\nX-Long: " + b"x" * 1_000_000)
            assert (await connection.answer()).status == 431

    run(test())


def test_what_is_no_http_is_told_so(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one:
            for nonsense in (b"\x16\x03\x01\x02\x00\x01\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"):
                async with line(one.address) as connection:
                    connection.send(nonsense)
                    assert (await connection.answer()).code == "BAD_REQUEST"
            async with line(one.address) as connection:  # two lengths: where the next request begins, proxies would see differently
                smuggled = request("POST", "/", b"{}", [("Content-Length", "0"), ("Transfer-Encoding", "chunked")])
                connection.send(smuggled)
                assert (await connection.answer()).status == 400
            await still_well(one)

    run(test())


def test_too_many_connections_are_told_to_come_back(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jetfleet.triggers.webhook.server.CONNECTIONS_MAX", 5)

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, AsyncExitStack() as stack:
            for _ in range(4):
                held = await stack.enter_async_context(line(one.address))
                held.send(request("POST", "/", b"{}"))
                assert (await held.answer()).status == 202
            one_more = await stack.enter_async_context(line(one.address))
            one_more.send(request("POST", "/", b"{}"))
            assert (await one_more.answer()).status == 202
            async with line(one.address) as refused:
                answer = await refused.answer()
                assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "BUSY", "1")

    run(test())


def test_large_bodies_at_a_time_have_bounded_room(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "BODIES_MAX_BYTES", 1_000)

    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as slow:
            slow.send(b"POST / HTTP/1.1\r\nHost: hooks\r\nContent-Length: 2000\r\n\r\n" + b"[" + b" " * 1_500)
            while (answer := await post(one.address, "/", {"well": True})).status == 202:
                pass  # until what the other one sent has arrived
            assert (answer.status, answer.code) == (503, "BUSY")
            slow.send(b" " * 498 + b"]")
            assert (await slow.answer()).status == 202

    run(test())
