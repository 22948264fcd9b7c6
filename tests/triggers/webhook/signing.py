"""Senders that sign: what each provider adds to a body, written down apart from the code that checks it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

Headers = list[tuple[str, str]]
KEY = b"a secret of thirty-two bytes, ok"


def hex_of(key: bytes, content: bytes, algorithm: str = "sha256") -> str:
    return hmac.new(key, content, getattr(hashlib, algorithm)).hexdigest()


@dataclass(frozen=True)
class Sender:
    """`secret`: as it is set where the trigger is served. `sign(body, key, at, algorithm)` gives the headers; `signature`: which of them."""

    auth: dict[str, object]
    signature: str
    sign: Callable[[bytes, bytes, int, str], Headers]
    timed: bool = True
    secret: Callable[[bytes], str] = bytes.decode


def github(body: bytes, key: bytes, at: int, algorithm: str = "sha256") -> Headers:
    return [("X-Hub-Signature-256", f"{algorithm}={hex_of(key, body, algorithm)}"), ("X-GitHub-Delivery", "72d3162e")]


def stripe(body: bytes, key: bytes, at: int, algorithm: str = "sha256") -> Headers:
    scheme = "v1" if algorithm == "sha256" else "v0"
    signature = hex_of(key, b"%d." % at + body, algorithm)
    return [("Stripe-Signature", f"t={at},v0=6ffbb59b2300aae63f272406069a9788598b792a,{scheme}={signature}")]


def slack(body: bytes, key: bytes, at: int, algorithm: str = "sha256") -> Headers:
    signature = hex_of(key, b"v0:%d:" % at + body, algorithm)
    return [("X-Slack-Signature", f"v0={signature}"), ("X-Slack-Request-Timestamp", str(at))]


def standard(body: bytes, key: bytes, at: int, algorithm: str = "sha256") -> Headers:
    digest = hmac.new(key, b"msg_1.%d." % at + body, getattr(hashlib, algorithm)).digest()
    scheme = "v1" if algorithm == "sha256" else "v2"
    signature = f"v1a,nonsense {scheme},{base64.b64encode(digest).decode()}"
    return [("webhook-id", "msg_1"), ("webhook-timestamp", str(at)), ("webhook-signature", signature)]


def plain(body: bytes, key: bytes, at: int, algorithm: str = "sha256") -> Headers:
    digest = hmac.new(key, body, hashlib.sha512 if algorithm == "sha256" else hashlib.sha256).digest()
    return [("X-Proof", "sig=" + base64.b64encode(digest).decode())]


def timed(body: bytes, key: bytes, at: int, algorithm: str = "sha256") -> Headers:
    return [("X-Signature", hex_of(key, b"%d." % at + body, algorithm)), ("X-Time", str(at))]


def whsec(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


SENDERS = {
    "github": Sender({"type": "github"}, "X-Hub-Signature-256", github, timed=False),
    "stripe": Sender({"type": "stripe"}, "Stripe-Signature", stripe),
    "slack": Sender({"type": "slack"}, "X-Slack-Signature", slack),
    "standard": Sender({"type": "standard"}, "webhook-signature", standard, secret=whsec),
    "hmac": Sender(
        {"type": "hmac", "header": "X-Proof", "prefix": "sig=", "algorithm": "sha512", "encoding": "base64"}, "X-Proof", plain, timed=False
    ),
    "hmac-timed": Sender({"type": "hmac", "timestamp_header": "X-Time", "tolerance_s": 60}, "X-Signature", timed),
}


def now() -> int:
    return int(time.time())
