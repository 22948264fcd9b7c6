"""Content: from the bytes of a request to the value that is the payload.

    application/json, …+json             the value
    application/x-www-form-urlencoded    a map of texts; a list where a name came several times
    multipart/form-data                  the same, with files as files
    text/…                               a text
    anything else                        bytes
    nothing                              the query as a map for GET and DELETE, else null

Guarantees: what cannot be read is refused with the reason; nothing is guessed from the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from .multipart import options_of, parts
from .replies import Refusal
from .request import Request, collected, fields
from .spool import Spool, beside

Reader: TypeAlias = Callable[[Spool, Mapping[str, str]], Any]

DEPTH_MAX = 128
"""Of JSON. Nothing that people or programs mean is nested deeper, and what is may exhaust whoever walks through it."""
_JSON, _FORM, _MULTIPART = "application/json", "application/x-www-form-urlencoded", "multipart/form-data"
_WITHOUT_BODY = ("GET", "DELETE")
_UTF8 = ("", "utf-8", "utf8", "us-ascii")


async def read(request: Request, body: Spool, mode: str) -> Any:
    """The payload. `mode`: auto, or what is taken alone: json, form, multipart, raw. Raises Refusal."""
    if not body.nbytes:
        return request.query if request.method in _WITHOUT_BODY else None
    kind, parameters = _content_type(request)
    reader = _reader(kind, mode)
    if parameters.get("charset", "").lower() not in _UTF8 and reader is not _bytes:
        raise Refusal(415, "CHARSET", "the body must be UTF-8")
    return await beside(body, reader, body, parameters)


def check_head(request: Request, mode: str) -> None:
    """Raises Refusal for a body that is not worth reading: of a type that is not taken, or compressed."""
    coding = request.one(b"content-encoding")
    if coding is not None and coding.lower() != b"identity":
        raise Refusal(415, "CONTENT_ENCODING", "compressed bodies are not taken", close=True)
    if mode not in ("auto", "raw") and (request.one(b"content-length") not in (None, b"0") or request.one(b"transfer-encoding")):
        _reader(_content_type(request)[0], mode)


def _content_type(request: Request) -> tuple[str, dict[str, str]]:
    raw = request.one(b"content-type")
    if raw is None:
        return "", {}
    if raw == b"application/json":
        return _JSON, {}
    return options_of(raw)


def _reader(kind: str, mode: str) -> Reader:
    """Raises Refusal for a type that the mode does not take. A body without a type counts as what is taken, with `auto` as JSON."""
    if mode == "raw":
        return _text if kind.startswith("text/") else _bytes
    if kind == "":
        found = {"form": _form, "multipart": _multipart}.get(mode, _json)
    elif kind == _JSON or kind.endswith("+json"):
        found = _json
    else:
        found = {_FORM: _form, _MULTIPART: _multipart}.get(kind) or (_text if kind.startswith("text/") else _bytes)
    if mode != "auto" and found is not {"json": _json, "form": _form, "multipart": _multipart}[mode]:
        wanted = {"json": _JSON, "form": _FORM, "multipart": _MULTIPART}[mode]
        raise Refusal(415, "CONTENT_TYPE", f"only {wanted} is taken here", close=True)
    return found


def _json(body: Spool, parameters: Mapping[str, str]) -> Any:
    data = body.read()
    try:
        value = msgspec.json.decode(data)
    except UnicodeDecodeError:
        raise Refusal(400, "NOT_UTF8", "the body is not UTF-8") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        raise Refusal(400, "NOT_JSON", f"the body is no JSON: {error}") from None
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX and _is_deep(value):
        raise _too_deep()
    return value


def _form(body: Spool, parameters: Mapping[str, str]) -> Any:
    return fields(body.read(), "the form")


def _multipart(body: Spool, parameters: Mapping[str, str]) -> Any:
    return collected(parts(body.pieces(), parameters.get("boundary", "")))


def _text(body: Spool, parameters: Mapping[str, str]) -> Any:
    try:
        return body.read().decode()
    except UnicodeDecodeError:
        raise Refusal(400, "NOT_UTF8", "the body is not UTF-8") from None


def _bytes(body: Spool, parameters: Mapping[str, str]) -> Any:
    return body.read()


def _is_deep(value: Any) -> bool:
    """Level by level: a walk into the depth would need what it is meant to protect."""
    level = [value]
    for _ in range(DEPTH_MAX + 1):
        level = [item for each in level if isinstance(each, dict | list) for item in (each.values() if isinstance(each, dict) else each)]
        if not level:
            return False
    return True


def _too_deep() -> Refusal:
    return Refusal(400, "TOO_DEEP", f"the body is nested more than {DEPTH_MAX} levels deep")
