"""A request: its head as it came, and its body, read within bounds of size and time.

Guarantees: no more than `max_bytes` of a body are read, and little of that is in memory at a time; all bodies that are held at a time fit
into the listener's room.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

from .protocol import WITH_BODY
from .replies import Disconnected, Refusal, unavailable
from .spool import Spool, beside

Receive: TypeAlias = Callable[[], Awaitable[Any]]

FIELDS_MAX = 1_000
"""Of a query string or a form."""


class Room:
    """For the bodies of all requests of a listener: many large ones at a time must not fill the machine."""

    __slots__ = ("held_bytes", "max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes, self.held_bytes = max_bytes, 0

    def take(self, count: int, own: int) -> None:
        """For a body that has `own` bytes already. Raises Refusal if there is no room. One body alone always has: its trigger bounds it."""
        if self.held_bytes > own and self.held_bytes + count > self.max_bytes:
            raise unavailable("BUSY", "too many large requests at a time: try again", close=True)
        self.held_bytes += count

    def give_back(self, count: int) -> None:
        self.held_bytes -= count


class Request:
    """Of an ASGI scope. `params`: those of the path."""

    def __init__(self, scope: Mapping[str, Any], receive: Receive, params: Mapping[str, str], room: Room) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.params = params
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        """Names in lower case."""
        self.remote: str = scope["client"][0] if scope["client"] else ""
        self._by_name = dict(self.headers)
        self._scope = scope
        self._query: bytes = scope["query_string"]
        self._receive = receive
        self._room = room
        self._held = 0

    def all(self, name: bytes) -> list[bytes]:
        return [value for each, value in self.headers if each == name] if name in self._by_name else []

    def one(self, name: bytes) -> bytes | None:
        """The header's value, None if there is none. Raises Refusal if it came twice: which one counts, nobody could tell."""
        if len(self._by_name) < len(self.headers) and len(self.all(name)) > 1:
            raise Refusal(400, "REPEATED_HEADER", f"the header {name.decode('latin-1')} came more than once", close=True)
        return self._by_name.get(name)

    @cached_property
    def query(self) -> dict[str, Any]:
        """By name; a list where a name came several times. Raises Refusal if it is no UTF-8, or has too many fields."""
        return fields(self._query, "the query string") if self._query else {}

    async def body(self, max_bytes: int, timeout_s: float) -> Spool:
        """Raises Refusal if it is too large or comes too slowly, Disconnected."""
        declared = self.one(b"content-length")
        if declared is not None and int(declared) > max_bytes:
            raise _too_large(max_bytes)
        if self._scope.get("extensions") is WITH_BODY:
            return await self._read(max_bytes)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._read(max_bytes)
        except TimeoutError:
            raise Refusal(408, "TOO_SLOW", f"the request did not come within {timeout_s:g} s", close=True) from None

    async def _read(self, max_bytes: int) -> Spool:
        body = Spool()
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk: bytes = message["body"]
            if body.nbytes + len(chunk) > max_bytes:
                raise _too_large(max_bytes)
            self._room.take(len(chunk), self._held)
            self._held += len(chunk)
            if body.add(chunk):
                await beside(body, body.write_out)
            if not message["more_body"]:
                return body

    def done(self) -> None:
        """Its body is not held any more."""
        self._room.give_back(self._held)
        self._held = 0


def fields(data: bytes, what: str) -> dict[str, Any]:
    """URL-encoded fields by name; a list where a name came several times. Raises Refusal."""
    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except UnicodeDecodeError:
        raise Refusal(400, "NOT_UTF8", f"{what} is not UTF-8") from None
    except ValueError:
        raise Refusal(400, "TOO_MANY_FIELDS", f"{what} has more than {FIELDS_MAX:,} fields") from None
    return collected(pairs)


def collected(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """By name, in order; a list where a name came several times."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _too_large(max_bytes: int) -> Refusal:
    return Refusal(413, "TOO_LARGE", f"the body is larger than {max_bytes:,} bytes", close=True)
