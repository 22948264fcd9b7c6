"""Replies: what a caller is told. Errors are JSON, `{"error": {"code", "message"}}`, and tell nothing of what is inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from ...broker.cli.shown import for_programs
from ...schemas.errors import JetfleetError

Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]
JSON: Headers = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Reply:
    """`close`: the connection ends with it, because what the request still brings is not wanted."""

    status: int
    body: bytes = b""
    headers: Headers = JSON
    close: bool = False


class Refusal(JetfleetError):
    """A request that is turned away: its status, and the code and message that the caller gets."""

    def __init__(self, status: int, code: str, message: str, *, headers: Iterable[tuple[str, str]] = (), close: bool = False) -> None:
        super().__init__(message)
        self.status, self.code, self.close = status, code, close
        self.headers = tuple((name.encode(), value.encode()) for name, value in headers)

    def reply(self) -> Reply:
        body = {"error": {"code": self.code, "message": str(self)}}
        return Reply(self.status, msgspec.json.encode(body), JSON + self.headers, self.close)


class Disconnected(Exception):
    """The caller is gone: nobody wants a reply."""


def json_reply(status: int, value: Mapping[str, Any], headers: Headers = ()) -> Reply:
    """What JSON has no form for is described in its place."""
    return Reply(status, msgspec.json.encode(for_programs(value), enc_hook=str), JSON + headers)


def unavailable(code: str, message: str, retry_after_s: int = 1, *, close: bool = False) -> Refusal:
    """503: the same request may be sent again later."""
    return Refusal(503, code, message, headers=[("retry-after", str(retry_after_s))], close=close)
