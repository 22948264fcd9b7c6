"""Requests become events: each once, with what it brought, and its caller is told which run comes of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from ...fleet.running import run
from .calling import call, line, post, request
from .hooks import flow, hooks


def test_a_request_is_a_run_and_its_caller_gets_the_id(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("orders", shop={"path": "/orders"}), runs=True) as one:
            answer = await post(one.address, "/orders", {"id": 7})
            assert answer.status == 202 and answer.headers["content-type"] == "application/json"
            result = await (await one.client.handle(answer.value["run"])).result()
            assert result.completed and result.output == {"id": 7}

    run(test())


def test_the_same_key_is_the_same_run_also_for_another_process(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("orders", shop={"path": "/orders"}), runs=True) as one:
            key = [("Idempotency-Key", "order-7")]
            answers = await asyncio.gather(*(post(one.address, "/orders", {"id": 7}, key) for _ in range(5)))
            answers.append(await post(one.address, "/orders", {"id": 7}, key))
            async with hooks(fresh_url, tmp_path / "other", runs=False) as other:
                source = await other.source("orders", "shop")
                answers.append(await post(await source.listening(), "/orders", {"id": 7}, key))
            assert {answer.status for answer in answers} == {202}
            (run_id,) = {answer.value["run"] for answer in answers}
            await one.fleet.log.ended(run_id)
            await one.fleet.quiet()
            assert one.fleet.log.begun == {run_id}

    run(test())


def test_flows_that_share_a_webhook_have_a_run_each(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        picky = flow("picky", shop={"path": "/orders"}, inputs={"required": ["amount"]})
        async with hooks(fresh_url, tmp_path, flow("orders", shop={"path": "/orders"}), picky) as one:
            both = (await post(one.address, "/orders", {"amount": 7})).value
            assert set(both["runs"]) == {"orders", "picky"} and "refused" not in both
            one_of_them = (await post(one.address, "/orders", {"id": 7})).value
            assert set(one_of_them["runs"]) == {"orders"} and "amount" in one_of_them["refused"]["picky"]["message"]

    run(test())


BODIES: list[tuple[str | None, bytes, Any]] = [
    ("application/json", b'{"a": [1, null]}', {"a": [1, None]}),
    ("application/cloudevents+json; charset=utf-8", b'{"a": 1}', {"a": 1}),
    (None, b"[1, 2]", [1, 2]),
    ("application/x-www-form-urlencoded", b"a=1&b=x+y&b=%C3%A4&c=", {"a": "1", "b": ["x y", "ä"], "c": ""}),
    ("text/plain", "grüße".encode(), "grüße"),
    ("application/octet-stream", b"\0\xff", b"\0\xff"),
    ("application/json", b"", None),
]


def test_a_body_is_what_its_type_says(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one:
            for kind, body, _ in BODIES:
                answer = await post(one.address, "/", headers=[] if kind is None else [("Content-Type", kind)], body=body)
                assert answer.status == 202, (kind, answer.body)
            assert await one.payloads() == [payload for _, _, payload in BODIES]

    run(test())


def test_a_get_brings_its_query(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"methods": ["GET", "POST"], "path": "/find"})) as one:
            assert (await call(one.address, "GET", "/find?q=a%20b&tag=x&tag=y")).status == 202
            assert (await call(one.address, "HEAD", "/find?q=nothing")).status == 200
            assert await one.payloads() == [{"q": "a b", "tag": ["x", "y"]}]

    run(test())


def test_files_of_a_form_arrive_as_files_however_large(fresh_url: str, tmp_path: Path) -> None:
    large = bytes(range(256)) * 4096
    parts = [
        b'Content-Disposition: form-data; name="note"\r\n\r\nhello',
        b'Content-Disposition: form-data; name="scan"; filename="../../etc/pass\\wd.bin"\r\nContent-Type: application/x\r\n\r\n' + large,
        b'Content-Disposition: form-data; name="tiny"; filename=""\r\n\r\n',
    ]
    body = b"".join(b"--edge\r\n" + part + b"\r\n" for part in parts) + b"--edge--\r\n"

    async def test() -> None:
        params = {"path": "/upload", "max_body_bytes": 4 << 20}
        async with hooks(fresh_url, tmp_path, flow("files", t=params), runs=True) as one:
            answer = await post(one.address, "/upload", headers=[("Content-Type", "multipart/form-data; boundary=edge")], body=body)
            result = await (await one.client.handle(answer.value["run"])).result()
            assert result.completed, result.error
            assert result.output["note"] == "hello"
            scan, tiny = result.output["scan"], result.output["tiny"]
            assert (scan.name, bytes(scan.body)) == ("wd.bin", large) and (tiny.name, tiny.nbytes) == ("upload", 0)

    run(test())


def test_nodes_can_know_where_a_request_came_from_but_none_of_its_secrets(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={"path": "/shops/{shop}/files/{rest:path}"})) as one:
            trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            secret = [("Authorization", "x"), ("Cookie", "x"), ("X-Api-Key", "x"), ("X-Gitlab-Token", "x"), ("X-Hub-Signature-256", "x")]
            path = "/shops/k%C3%B6ln%2F1/files/a/b%20c?page=2&api_key=x"
            answer = await post(one.address, path, {}, [("X-Kind", "a"), ("x-kind", "b"), ("traceparent", trace), *secret])
            assert answer.status == 202
            (event,), (meta,) = await one.events(), await one.metas()
            assert event.trace == trace
            assert meta["params"] == {"shop": "köln/1", "rest": "a/b c"}
            assert (meta["method"], meta["query"], meta["remote"]) == ("POST", {"page": "2"}, "127.0.0.1")
            assert meta["headers"]["x-kind"] == "a, b" and "x" not in meta["headers"].values()

    run(test())


def test_a_caller_that_waits_gets_what_the_run_gave(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        waits = {"wait": True, "timeout_ms": 20_000}
        flows = [
            flow("good", t={"path": "/good", **waits}),
            flow("bad", "f.picky", t={"path": "/bad", **waits}),
            flow("told", "f.picky", t={"path": "/told", "reveal_errors": True, **waits}),
        ]
        slow = flow("slow", "f.gated", t={"path": "/slow", "wait": True, "timeout_ms": 50})
        async with hooks(fresh_url, tmp_path, *flows, slow, runs=True) as one:
            good = await post(one.address, "/good", {"id": 7})
            assert good.status == 200 and good.value == {"run": good.value["run"], "status": "completed", "output": {"id": 7}}
            bad = await post(one.address, "/bad", {"fails": 99})
            assert bad.status == 500 and bad.value["error"]["type"] == "picky" and b"was told to fail" not in bad.body
            assert "was told to fail" in (await post(one.address, "/told", {"fails": 99})).value["error"]["message"]
            gate = tmp_path / "gate"
            late = await post(one.address, "/slow", {"gate": str(gate)})
            assert late.status == 504 and late.code == "NOT_ENDED"
            gate.touch()
            assert (await (await one.client.handle(late.value["run"])).result()).completed

    run(test())


def test_a_caller_that_would_rather_speak_another_protocol_loses_nothing(fresh_url: str, tmp_path: Path) -> None:
    """As Java's client does with every request, unless it is told not to."""

    async def test() -> None:
        offer = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMA")]
        async with hooks(fresh_url, tmp_path, flow("f", t={"methods": ["GET", "POST"]})) as one, line(one.address) as connection:
            connection.send(request("POST", "/", b"1", offer) + request("POST", "/", b"2", offer) + request("GET", "/?n=3", None, offer))
            connection.send(request("POST", "/", None, [*offer, ("Transfer-Encoding", "chunked")]) + b"1\r\n4\r\n0\r\n\r\n")
            connection.send(request("POST", "/", b"5678", offer)[:-3])
            assert [(await connection.answer()).status for _ in range(4)] == [202] * 4
            connection.send(b"678" + request("POST", "/", b"9"))
            assert [(await connection.answer()).status for _ in range(2)] == [202] * 2
            assert await one.payloads() == [1, 2, {"n": "3"}, 4, 5678, 9]
            connection.send(request("POST", "/", b"0", offer) * 1_000)  # in one piece, ending in the middle of a head for the server
            assert {(await connection.answer()).status for _ in range(1_000)} == {202}

    run(test())


def test_requests_on_one_connection_are_answered_in_order(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with hooks(fresh_url, tmp_path, flow("f", t={})) as one, line(one.address) as connection:
            for number in range(3):
                connection.send(request("POST", "/", b"%d" % number))
            connection.send(request("POST", "/nowhere", b"{}") + b"POST / HTTP/1.1\r\n")
            assert [(await connection.answer()).status for _ in range(4)] == [202, 202, 202, 404]
            assert sorted(await one.payloads()) == [0, 1, 2]

    run(test())
