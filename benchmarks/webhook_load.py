"""A load on a webhook: callers on connections that stay open, each sending its next request when the answer to the last one is there.

    python -m benchmarks.webhook_load HOST PORT PATH CONNECTIONS        # each line of its input is a number of requests

The callers are a process of their own, so that what they cost is not the server's. They speak HTTP by themselves, with no library between,
since any library would cost more than the server. Only 202 counts; anything else is a failure of the measurement.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from .load import percentile
from .loops import run_in_loop
from .processes import BenchmarkFailed

BODY_BYTES = 200


@dataclass(frozen=True, slots=True)
class Target:
    host: str
    port: int
    path: str


class Caller(asyncio.Protocol):
    """One connection. `numbers`: shared by all callers, one per request."""

    def __init__(self, target: Target, numbers: Iterator[int], latencies_ms: list[float], done: asyncio.Future[None]) -> None:
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
        if not end or len(body) < body_length(head):
            return
        self._received = b""
        if not is_accepted(head):
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


def is_accepted(head: bytes) -> bool:
    return head.startswith(b"HTTP/1.1 202 ")


def body_length(head: bytes) -> int:
    _, _, rest = head.lower().partition(b"content-length: ")
    return int(rest.split(b"\r\n", 1)[0])


async def load(target: Target, requests: int, connections: int) -> dict[str, float]:
    """`{"p50_ms", "p99_ms", "cpu_us"}`: from a request to its 202, and what one took of this process. Raises BenchmarkFailed."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(requests))
    latencies_ms: list[float] = []
    dones: list[asyncio.Future[None]] = []
    cpu_s = time.process_time()
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        dones.append(done)
        await loop.create_connection(lambda done=done: Caller(target, numbers, latencies_ms, done), target.host, target.port)  # type: ignore[misc]
    await asyncio.gather(*dones)
    cpu_us = (time.process_time() - cpu_s) / requests * 1e6
    latencies_ms.sort()
    return {"p50_ms": percentile(latencies_ms, 0.5), "p99_ms": percentile(latencies_ms, 0.99), "cpu_us": round(cpu_us, 1)}


async def loads(target: Target, connections: int) -> None:
    """One per line of the input, until that ends."""
    for line in sys.stdin:  # it blocks the loop, in which nothing happens meanwhile
        told: dict[str, Any]
        try:
            told = await load(target, int(line), connections)
        except (BenchmarkFailed, OSError) as error:
            told = {"error": str(error)}
        print(json.dumps(told), flush=True)


def main(host: str, port: str, path: str, connections: str) -> None:
    run_in_loop(loads(Target(host, int(port), path), int(connections)))


if __name__ == "__main__":
    main(*sys.argv[1:])
