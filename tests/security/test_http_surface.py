"""What listens for HTTP beside webhooks: calls of manual triggers, metrics and health. (Webhooks: tests/triggers/webhook/test_hostile_requests.py.)"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from jetfleet.broker.observe.metrics_server import MetricsServer
from jetfleet.triggers import calls
from jetfleet.triggers.calls import Calls, CallSettings

from ..fleet.fleets import fleet, flow
from ..fleet.running import run

FLOW = flow("orders", {"a": {"type": "f.echo"}})
TOKEN = "open-sesame"


@asynccontextmanager
async def called(url: str, folder: Path) -> AsyncIterator[int]:
    """The port on which the flow's trigger can be called."""
    async with fleet(url, folder, workers=0) as one:
        await one.deploy(FLOW)
        async with Calls(one.client, CallSettings(host="127.0.0.1", port=0, token=TOKEN)) as listening:
            yield listening.port


async def answered(port: int, *pieces: bytes) -> tuple[int, bytes]:
    """Status and the whole answer, to a request that is sent in pieces."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    body = await reader.readexactly(length)
    writer.close()
    return int(head[9:12]), head + body


def request(
    body: bytes = b"{}", *headers: str, method: str = "POST", path: str = "/-/fire/orders/go", token: str = TOKEN, length: int | None = None
) -> bytes:
    said = [f"{method} {path} HTTP/1.1", "Host: here", "Content-Type: application/json", f"Authorization: Bearer {token}"]
    return "\r\n".join([*said, f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]).encode() + body


def test_a_call_is_asked_for_its_token_and_bounded(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "READ_S", 0.3)
    bomb = gzip.compress(bytes(32 << 20))
    asked = {
        request(): 202,
        request(token=""): 401,
        request(token="open-sesam"): 401,
        request(token="open-sesame2"): 401,
        request(token="\u00fc".encode().decode("latin-1")): 401,
        request(method="GET"): 405,
        request(method="DELETE"): 405,
        request(path="/-/fire/orders/other"): 404,
        request(path="/-/fire/../../etc/passwd"): 404,
        request(path="/-/fire/orders%2Fgo/go"): 404,
        request(b"[" * 100_000): 400,
        request(b"\xff\xfe"): 400,
        request(length=2 << 20): 413,
        request(bomb, "Content-Encoding: gzip"): 413,
        request(b"no gzip", "Content-Encoding: gzip"): 400,
        request(b"{", length=2): 408,
        request(b"{}", "Idempotency-Key: " + "k" * 513): 400,
    }

    async def test() -> None:
        async with called(fresh_url, tmp_path) as port:
            for sent, expected in asked.items():
                status, said = await answered(port, sent)
                assert status == expected, (sent[:200], said)
                assert b"Traceback" not in said and b"aiohttp" not in said.lower() and TOKEN.encode() not in said

    run(test(), 60)


def test_who_sends_a_byte_at_a_time_holds_up_nobody(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with called(fresh_url, tmp_path) as port:
            slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
            for number, (_, writer) in enumerate(slow):
                writer.write(request(length=100)[: 20 + number])  # some in the middle of the head, others of the body
                await writer.drain()
            for n in range(20):
                status, said = await answered(port, request(json.dumps({"n": n}).encode()))
                assert status == 202, said
            for _, writer in slow:
                writer.close()

    run(test(), 60)


def test_metrics_and_health_take_questions_and_nothing_else() -> None:
    async def test() -> None:
        server = MetricsServer("worker")
        await server.start()
        try:
            for path in ("/metrics", "/healthz", "/readyz"):
                assert (await answered(server.port, request(b"", method="GET", path=path)))[0] == 200
                assert (await answered(server.port, request(b"x", method="POST", path=path)))[0] == 405
            for path in ("/", "/../etc/passwd", "/metrics/../../x", "/debug/pprof"):
                assert (await answered(server.port, request(b"", method="GET", path=path)))[0] == 404
            assert server.host == "127.0.0.1"
        finally:
            await server.stop()

    run(test())
