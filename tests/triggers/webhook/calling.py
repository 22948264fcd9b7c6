"""Calls as callers make them: over sockets, byte by byte where a test wants it so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

Address = tuple[str, int]
Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """`headers`: names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        """Of an error."""
        found = self.value["error"]["code"]
        assert isinstance(found, str)
        return found


class Line:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self, method: str = "POST") -> Answer:
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = 0 if method == "HEAD" else int(headers.get("content-length", 0))
        return Answer(int(first.split()[1]), headers, await self.reader.readexactly(length))

    async def closed(self) -> bytes:
        """What still comes until the other side hangs up."""
        try:
            return await self.reader.read()
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def line(address: Address) -> AsyncIterator[Line]:
    reader, writer = await asyncio.open_connection(*address)
    try:
        yield Line(reader, writer)
    finally:
        writer.close()


def request(method: str, path: str, body: bytes | None = None, headers: Headers = ()) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: hooks", *(f"{name}: {value}" for name, value in headers)]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def call(address: Address, method: str, path: str, value: Any = None, headers: Headers = (), *, body: bytes | None = None) -> Answer:
    """`value`: sent as JSON. `body`: sent as it is."""
    if body is None and value is not None:
        body, headers = msgspec.json.encode(value), [("Content-Type", "application/json"), *headers]
    async with line(address) as one:
        one.send(request(method, path, body, headers))
        return await one.answer(method)


async def post(address: Address, path: str, value: Any = None, headers: Headers = (), *, body: bytes | None = None) -> Answer:
    return await call(address, "POST", path, value, headers, body=body)
