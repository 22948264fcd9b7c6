"""A load on a webhook: callers on connections that stay open, each sending its next request when the answer to the last one is there.

    measured = await measure_webhook("http://127.0.0.1:8080/orders", requests=20_000, connections=64)

The callers are a process of their own: what they cost is not the server's. They speak HTTP by themselves, with no library between, since
any library would cost more than the server. Only 202 counts; anything else is a failure of the measurement.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from .processes import ROOT, BenchmarkFailed

BODY_BYTES = 200


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    path: str


class Caller(asyncio.Protocol):
    """One connection. `numbers`: shared by all callers, one per request."""

    def __init__(self, target: Target, numbers: Any, latencies_ms: list[float], done: asyncio.Future[None]) -> None:
        self._target, self._numbers, self._latencies_ms, self._done = target, numbers, latencies_ms, done
        self._transport: asyncio.Transport | None = None
        self._began = 0.0
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class
        self._next()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or len(body) < _length(head):
            return
        self._received = b""
        if not head.startswith(b"HTTP/1.1 202 "):
            self._fail(f"the webhook answers {head[:40]!r}: {body[:200]!r}")
            return
        self._latencies_ms.append((time.perf_counter() - self._began) * 1e3)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the webhook hung up: {exc}")

    def _next(self) -> None:
        assert self._transport is not None
        number = next(self._numbers, None)
        if number is None:
            if not self._done.done():
                self._done.set_result(None)
            self._transport.close()
            return
        self._began = time.perf_counter()
        self._transport.write(request(self._target, number))

    def _fail(self, message: str) -> None:
        if not self._done.done():
            self._done.set_exception(BenchmarkFailed(message))


def request(target: Target, number: int) -> bytes:
    text = json.dumps({"id": number, "note": ""})
    body = text[:-2] + "x" * (BODY_BYTES - len(text)) + text[-2:]
    head = f"POST {target.path} HTTP/1.1\r\nHost: {target.host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


def _length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length: ")
    return int(rest.split(b"\r\n", 1)[0])


async def load(target: Target, requests: int, connections: int) -> dict[str, float]:
    """In this process. Raises BenchmarkFailed."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(requests))
    latencies_ms: list[float] = []
    dones: list[asyncio.Future[None]] = []
    started = time.perf_counter()
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        dones.append(done)
        await loop.create_connection(lambda done=done: Caller(target, numbers, latencies_ms, done), target.host, target.port)  # type: ignore[misc]
    await asyncio.gather(*dones)
    seconds = time.perf_counter() - started
    latencies_ms.sort()
    return {"events_per_s": round(requests / seconds), "p50_ms": _at(latencies_ms, 0.5), "p99_ms": _at(latencies_ms, 0.99)}


def _at(ascending: list[float], share: float) -> float:
    return round(ascending[min(int(len(ascending) * share), len(ascending) - 1)], 2)


async def measure_webhook(url: str, *, requests: int = 20_000, connections: int = 64) -> dict[str, float]:
    """`{"events_per_s", "p50_ms", "p99_ms"}` of events that are acknowledged with 202. Raises BenchmarkFailed."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.webhook_load", url, str(requests), str(connections), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    try:
        output = await child.stdout.read()
        if await child.wait():
            raise BenchmarkFailed(f"the load on {url} failed: {output.decode(errors='replace').strip()}")
        measured: dict[str, float] = json.loads(output)
        return measured
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def main(url: str, requests: str, connections: str) -> int:
    parts = urlsplit(url)
    target = Target(parts.hostname or "127.0.0.1", parts.port or 80, parts.path or "/")
    try:
        print(json.dumps(_run(load(target, int(requests), int(connections)))))
    except (BenchmarkFailed, OSError) as error:
        print(error)
        return 1
    return 0


def _run(work: Any) -> Any:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.run(work)
    return asyncio.run(work)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
