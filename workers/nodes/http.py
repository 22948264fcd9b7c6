"""std::http: make an HTTP request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from ...schemas.errors import NodeError
from ...schemas.values import to_text
from ..context import Context
from ..http_client import TIMEOUT_S_DEFAULT, HttpResponse
from .base import StandardNode

RETRYABLE = frozenset({408, 425, 429})
"""The statuses below 500 that ask for another attempt."""

TOLD_WHEN = frozenset({429, 503})
"""The statuses whose Retry-After is believed."""

BODY_CHARACTERS_MAX = 2_000
"""How much of an unwanted response an error carries."""


class HttpNode(StandardNode):
    """Gives `{status, headers, body}`; a JSON body is decoded. A status that is neither 2xx nor expected is `http_status`."""

    name = "std::http"
    mode = "async"
    wants_context = True

    def prepare(self, config: Mapping[str, Any]) -> Callable[[Any, Context], Awaitable[Any]]:
        timeout_s = TIMEOUT_S_DEFAULT if config["timeout_ms"] is None else config["timeout_ms"] / 1_000
        query, expect = _query(config["query"]), frozenset(config["expect"])

        async def request(value: Any, context: Context) -> Any:
            response = await context.http.request(
                config["method"],
                to_text(config["url"]) or "",
                headers={name: to_text(text) or "" for name, text in config["headers"].items()},
                query=query,
                timeout_s=timeout_s,
                **_content(config["body"]),
            )
            if not response.ok and response.status not in expect:
                raise _unwanted(response, config, context)
            return {"status": response.status, "headers": dict(response.headers), "body": response.body()}

        return request


def _query(query: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The parameters as texts: a list repeats its parameter, null leaves it out."""
    pairs = [(name, item) for name, value in query.items() for item in (value if isinstance(value, list) else [value])]
    return [(name, text) for name, item in pairs if (text := to_text(item)) is not None]


def _content(body: Any) -> dict[str, Any]:
    if body is None:
        return {}
    if isinstance(body, str):
        return {"content": body.encode()}
    return {"content": body} if isinstance(body, bytes) else {"json": body}


def _unwanted(response: HttpResponse, config: Mapping[str, Any], context: Context) -> NodeError:
    status = response.status
    return NodeError(
        f"{config['method']} {config['url']}: status {status}",
        type="http_status",
        retryable=status >= 500 or status in RETRYABLE,
        details={"status": status, "body": response.text()[:BODY_CHARACTERS_MAX]},
        after=_retry_after_s(response, context) if status in TOLD_WHEN else None,
    )


def _retry_after_s(response: HttpResponse, context: Context) -> float | None:
    """The header as seconds from now, in either of its forms; None if it is not there or no form of it."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - context.now()).total_seconds(), 0.0)
