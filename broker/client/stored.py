"""A message as a stream has it, in both forms in which the server hands it out: a JSON document, or a message with `Nats-…` headers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .message import NO_HEADERS, Message, parse_headers

_OURS = frozenset(
    {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence", "Nats-UpTo-Sequence"}
)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """`time_ns`: when it was stored, since the epoch."""

    subject: str
    seq: int
    data: bytes
    time_ns: int
    headers: Mapping[str, str]


def from_document(document: Mapping[str, Any]) -> StoredMessage:
    """From the `message` in the answer of `STREAM.MSG.GET`."""
    headers = parse_headers(base64.b64decode(document["hdrs"])) if "hdrs" in document else NO_HEADERS
    data = base64.b64decode(document.get("data", ""))
    return StoredMessage(document["subject"], document["seq"], data, time_ns(document["time"]), headers)


def from_message(message: Message) -> StoredMessage:
    """From an answer of a direct get."""
    headers = message.headers
    own = {name: value for name, value in headers.items() if name not in _OURS}
    return StoredMessage(headers["Nats-Subject"], int(headers["Nats-Sequence"]), message.data, time_ns(headers["Nats-Time-Stamp"]), own)


def time_ns(text: str) -> int:
    """RFC 3339 with up to nine decimals, as nanoseconds since the epoch; `datetime` would drop the last three."""
    seconds, _, rest = text.partition(".")
    decimals = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    zone = rest[len(decimals) :] if rest else ""
    whole = datetime.fromisoformat(seconds + zone)
    return int(whole.timestamp()) * 1_000_000_000 + int(decimals.ljust(9, "0") or 0)
