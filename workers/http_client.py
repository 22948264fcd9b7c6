"""The HTTP client that node code gets: one pool of connections per worker, opened at its first request.

It speaks in node errors: `http_connection` (retryable: nothing was answered), `http_timeout`, `http_url`, `http_address` (one that this
worker does not connect to), `http_too_large`.
Any answer of the server, whatever its status, is a response and no error: what a status means is the caller's question.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..schemas.errors import NodeError, Permanent
from .private_addresses import PrivateAddress, are_denied, public_socket

if TYPE_CHECKING:
    import aiohttp

BODY_BYTES_MAX = 64 * 1024 * 1024
TIMEOUT_S_DEFAULT = 30.0


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    def text(self) -> str:
        return self.content.decode(errors="replace")

    def json(self) -> Any:
        """Raises Permanent (`http_body`) if the content is no JSON."""
        try:
            return json.loads(self.content)
        except ValueError as error:
            raise Permanent(f"the response is no JSON: {error}", type="http_body") from None

    def body(self) -> Any:
        """The content by its type: JSON decoded, other text as text, all else as bytes; None if there is none."""
        if not self.content:
            return None
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json" or kind.endswith("+json"):
            return self.json()
        try:
            return self.content.decode()
        except UnicodeDecodeError:
            return self.content


class HttpClient(Protocol):
    """What is asked of a client."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
        json: Any = None,
        content: bytes | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> HttpResponse:
        """Send one request and read its answer to the end. `json` excludes `content`. Raises NodeError."""

    async def close(self) -> None: ...


class PooledHttpClient:
    """The real client. `environ`: says whether it may connect to private addresses."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._public_only = are_denied(environ)
        self._session: aiohttp.ClientSession | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Sequence[tuple[str, str]] = (),
        json: Any = None,
        content: bytes | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> HttpResponse:
        import aiohttp  # here, because most workers never make a request and it is slow to import

        session = self._open(aiohttp)
        deadline = aiohttp.ClientTimeout(total=timeout_s)
        try:
            async with session.request(
                method, url, headers=headers, params=list(query), json=json, data=content, timeout=deadline
            ) as answer:
                found = {name.lower(): value for name, value in answer.headers.items()}
                return HttpResponse(answer.status, found, await _read(answer, url))
        except TimeoutError:
            raise NodeError(f"{method} {url}: no answer within {timeout_s:g} s", type="http_timeout") from None
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
            raise Permanent(f"{method} {url}: this is no http address ({error})", type="http_url") from None
        except aiohttp.ClientError as error:
            if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, PrivateAddress):
                raise Permanent(f"{method} {url}: {error.os_error}", type="http_address") from None
            raise NodeError(f"{method} {url}: {error or error.__class__.__name__}", type="http_connection") from None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _open(self, aiohttp: Any) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            public = {"socket_factory": public_socket} if self._public_only else {}
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(**public))
        return self._session


async def _read(answer: aiohttp.ClientResponse, url: str) -> bytes:
    content = bytearray()
    async for chunk in answer.content.iter_chunked(256 * 1024):
        content += chunk
        if len(content) > BODY_BYTES_MAX:
            raise Permanent(f"{url}: the response is larger than {BODY_BYTES_MAX} bytes", type="http_too_large")
    return bytes(content)
