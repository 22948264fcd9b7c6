"""Meta: what nodes can know of a request besides its payload. What lets its reader act as the caller is left out."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from .guard import Guard
from .request import Request

_SECRET = re.compile(r"authorization|cookie|token|secret|signature|password|credential|api-?_?key|x-amz-security", re.IGNORECASE)
_TRACEPARENT = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def meta_of(request: Request, remote: str, guard: Guard) -> dict[str, Any]:
    """`method`, `path`, `params`, `query`, `headers` (names in lower case), `remote`."""
    query = request.query
    if query:
        query = {name: value for name, value in query.items() if not is_secret(name)}
    return {
        "method": request.method,
        "path": request.path,
        "params": request.params,
        "query": query,
        "headers": _headers(request, guard),
        "remote": remote,
    }


def trace_of(request: Request) -> str:
    """The W3C traceparent that the caller sent, if it is one."""
    found = request.all(b"traceparent")
    return found[0].decode() if len(found) == 1 and _TRACEPARENT.fullmatch(found[0]) else ""


@lru_cache(maxsize=1_024)
def is_secret(name: str) -> bool:
    """Whether a header or a field of a query of this name holds something secret."""
    return _SECRET.search(name) is not None


def _headers(request: Request, guard: Guard) -> dict[str, str]:
    found: dict[str, str] = {}
    for raw, value in request.headers:
        name = raw.decode("latin-1")
        if is_secret(name) or name == guard.header:
            continue
        text = value.decode("latin-1")
        found[name] = f"{found[name]}, {text}" if name in found else text
    return found
