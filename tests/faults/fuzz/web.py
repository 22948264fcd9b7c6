"""Targets: what comes over HTTP: paths, queries, bodies, credentials and signatures of requests to webhooks.

Requests are made as the HTTP server hands them over: it has refused what is no HTTP, and everything behind that is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from jetfleet.broker.codecs.path import FileView
from jetfleet.schemas.errors import UnencodableValue
from jetfleet.schemas.payload import encode
from jetfleet.triggers.webhook import content
from jetfleet.triggers.webhook.addresses import Addresses
from jetfleet.triggers.webhook.credentials import Basic, Bearer
from jetfleet.triggers.webhook.guard import Guard
from jetfleet.triggers.webhook.meta import meta_of, trace_of
from jetfleet.triggers.webhook.multipart import parts, safe_name
from jetfleet.triggers.webhook.replies import Refusal, json_reply
from jetfleet.triggers.webhook.request import Request, Room, fields
from jetfleet.triggers.webhook.routes import Routes
from jetfleet.triggers.webhook.signatures import Github, Slack, Standard, Stripe
from jetfleet.triggers.webhook.spool import Spool

from .target import Target, text

FORM = (
    b'--frontier\r\nContent-Disposition: form-data; name="order"\r\n\r\n5\r\n'
    b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="a b.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--frontier--\r\n'
)
MULTIPART = b"multipart/form-data; boundary=frontier"
_SEPARATOR = b"\r\n\r\n"
_GUARDS: Sequence[Guard] = (
    Basic([b"ann:secret"]),
    Bearer([b"token"]),
    Github([b"s"]),
    Stripe([b"s"]),
    Slack([b"s"]),
    Standard([b"whsec_" + b"c2VjcmV0"]),
)
_PROXIED = Addresses(["10.0.0.0/8"], ["127.0.0.0/8", "::1/128"])
_routes = Routes()
for _path in ("/orders", "/orders/{id}", "/files/{rest:path}"):
    _routes.add(_path, ["POST"], object(), "orders.api")


async def _nothing() -> dict[str, str]:
    return {"type": "http.disconnect"}


def request(data: bytes, method: str = "POST", query: bytes = b"") -> Request:
    """A request whose headers the case holds, one a line: names in lower case, as the server makes them."""
    head = data.partition(_SEPARATOR)[0]
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in head.split(b"\r\n"))]
    scope = {"method": method, "path": "/orders", "headers": headers, "client": ("127.0.0.1", 1), "query_string": query}
    return Request(scope, _nothing, {}, Room(1 << 20))


def _spool(body: bytes) -> Spool:
    spool = Spool()
    spool.add(body)
    return spool


def _body(data: bytes) -> None:
    """Headers that say what the body is, and the body."""
    asked = request(data)
    content.check_head(asked, "auto")
    value = asyncio.run(content.read(asked, _spool(data.partition(_SEPARATOR)[2]), "auto"))
    if not _holds_file(value):
        encode(value)
    json_reply(200, {"output": value})


def _holds_file(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(each, (FileView, list)) for each in value.values())


def _form(data: bytes) -> None:
    for name, value in parts([data[:9], data[9:]], "frontier"):
        assert isinstance(name, str) and isinstance(value, (str, FileView))


def _named(name: str) -> None:
    """The name of a file that somebody uploads is one word of a path, whatever it says."""
    safe = safe_name(name)
    assert safe not in ("", ".", "..") and not {"/", "\\", "\0"} & set(safe) and len(safe.encode("utf-8", "surrogatepass")) <= 255


def _admitted(data: bytes) -> None:
    """Each kind of guard, on a request that nobody has signed: it refuses, in its own words."""
    asked, body = request(data), _spool(data.partition(_SEPARATOR)[2])
    for guard in _GUARDS:
        _let(guard.admit, asked)
        _let(guard.verify, asked, body)
    _let(_PROXIED.admit, asked)
    encode(meta_of(asked, "127.0.0.1", _GUARDS[0]))
    trace_of(asked)


def _let(step: Callable[..., object], *given: object) -> None:
    try:
        step(*given)
    except Refusal as refusal:
        refusal.reply()


_BODIES = tuple(
    b"content-type: " + kind + _SEPARATOR + body
    for kind, body in (
        (b"application/json", b'{"order": 5, "lines": [1, null, 2.5]}'), (b"application/x-www-form-urlencoded", b"order=5&line=1&line=2&t=a%20b"),
        (MULTIPART, FORM), (b"text/plain; charset=utf-8", b"hello"), (b"image/png", b"\x89PNG"), (b"application/vnd.api+json", b"[]"),
    )
)  # fmt: skip
_HEADS = (
    b"authorization: Basic YW5uOnNlY3JldA==\r\nx-forwarded-for: 10.0.0.1, 127.0.0.1\r\ntraceparent: 00-"
    + b"a" * 32
    + b"-"
    + b"b" * 16
    + b"-01"
    + _SEPARATOR,
    b"authorization: Bearer token\r\nx-hub-signature-256: sha256=ab\r\nstripe-signature: t=1790000000,v1=ab" + _SEPARATOR + b"{}",
    b"x-slack-signature: v0=ab\r\nx-slack-request-timestamp: 1790000000\r\nwebhook-id: m-1\r\nwebhook-timestamp: 1790000000\r\nwebhook-signature: v1,ab"
    + _SEPARATOR
    + b"{}",
)

TARGETS = (
    Target("body of a request", _body, lambda: _BODIES, (Refusal, UnencodableValue)),
    Target("form with files", _form, lambda: [FORM], (Refusal,)),
    Target("fields of a form", lambda data: fields(data, "the form"), lambda: [b"a=1&b=%20&a=2", b"q"], (Refusal,)),
    Target("name of a file", text(_named), lambda: [b"a.txt", b"../../etc/passwd", b"C:\\x\\y", "ünï‮.txt".encode()], (UnicodeEncodeError,)),
    Target("path of a request", lambda data: _routes.find(data, "POST"), lambda: [b"/orders", b"/orders/5", b"/files/a/b%2Fc", b"/orders/%2e%2e"], (Refusal,)),
    Target("head of a request", _admitted, lambda: _HEADS, (Refusal,)),
)  # fmt: skip
