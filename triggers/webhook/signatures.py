"""Signatures: callers who share a secret and sign what they send, each provider in its own way.

    github      X-Hub-Signature-256: sha256=<hex of body>
    stripe      Stripe-Signature: t=<seconds>,v1=<hex of "t.body">
    slack       X-Slack-Signature: v0=<hex of "v0:seconds:body">, X-Slack-Request-Timestamp
    standard    webhook-signature: v1,<base64 of "id.seconds.body"> …, webhook-id, webhook-timestamp (Standard Webhooks)
    hmac        header, prefix, algorithm and encoding as the trigger says, over the body or "seconds.body"

Guarantees: HMAC over the bytes as they came, compared in constant time; one signature header, not two; where a time is signed, it is
within the tolerance. A request that is sent again within it is the same delivery, known by an id that is signed, or by its signature.
Does not: tell an attacker who has seen a request of github, or of hmac without a time, from the sender: neither signs when it was sent, nor
the id of the delivery.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from abc import abstractmethod
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from ...broker.triggers.source import SourceBroken
from ...schemas.flow.triggers.webhook import WebhookAuth
from .credentials import is_one_of
from .guard import Guard, only, unauthorized
from .request import Request
from .spool import Spool

ID_MAX = 256
SIGNATURES_MAX = 16
"""In one header: providers send one per secret that they rotate."""


class Signed(NamedTuple):
    """What a request claims: the bytes that were signed before its body, the signatures as they are sent, and when, in seconds since the
    epoch."""

    head: bytes
    signatures: Sequence[bytes]
    at: bytes | None = None


class Signature(Guard):
    """`secrets`: any of them may have signed."""

    algorithm = "sha256"
    tolerance_s = 300

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets

    def verify(self, request: Request, body: Spool) -> None:
        signed = self.signed(request)
        valid = [self.written(self._digest(secret, signed.head, body)) for secret in self._secrets]
        fits = [is_one_of(each, valid) for each in signed.signatures[:SIGNATURES_MAX]]
        if not any(fits):
            raise unauthorized("the signature does not fit what was sent")
        if signed.at is not None and abs(time.time() - _seconds(signed.at)) > self.tolerance_s:
            raise unauthorized(f"the request was signed more than {self.tolerance_s} s ago, or ahead of time: check the clocks")

    def delivery(self, request: Request, value: Any) -> str | None:
        return self.signature_id(request)

    def signature_id(self, request: Request) -> str:
        """What tells this request from others: the same signature, the same content, and the same time where that is signed."""
        return "signed-" + sha256(b"".join(request.all(self.header.encode()))).hexdigest()[:32]

    def _digest(self, secret: bytes, head: bytes, body: Spool) -> bytes:
        mac = hmac.new(secret, head, self.algorithm)
        for piece in body.pieces():
            mac.update(piece)
        return mac.digest()

    @abstractmethod
    def signed(self, request: Request) -> Signed:
        """Raises Refusal if something is missing."""

    def written(self, digest: bytes) -> bytes:
        """A digest as the provider sends it."""
        return digest.hex().encode()


class Github(Signature):
    header = "x-hub-signature-256"
    id_header = b"x-github-delivery"

    def signed(self, request: Request) -> Signed:
        return Signed(b"", [only(request, b"x-hub-signature-256", "the signature")])

    def written(self, digest: bytes) -> bytes:
        return b"sha256=" + super().written(digest)


class Stripe(Signature):
    header = "stripe-signature"
    id_header = b""

    def signed(self, request: Request) -> Signed:
        pairs = [part.strip().partition(b"=") for part in only(request, b"stripe-signature", "the signature").split(b",")]
        times = [value for name, _, value in pairs if name == b"t"]
        if len(times) != 1:
            raise unauthorized("the signature must have one time")
        return Signed(times[0] + b".", [value for name, _, value in pairs if name == b"v1"], times[0])

    def delivery(self, request: Request, value: Any) -> str | None:
        return text_at(value, "id") or self.signature_id(request)


class Slack(Signature):
    header = "x-slack-signature"
    id_header = b""

    def signed(self, request: Request) -> Signed:
        at = only(request, b"x-slack-request-timestamp", "the time")
        return Signed(b"v0:" + at + b":", [only(request, b"x-slack-signature", "the signature")], at)

    def written(self, digest: bytes) -> bytes:
        return b"v0=" + super().written(digest)

    def handshake(self, value: Any) -> bytes | None:
        is_one = isinstance(value, dict) and value.get("type") == "url_verification"
        return (text_at(value, "challenge") or "").encode() if is_one else None

    def delivery(self, request: Request, value: Any) -> str | None:
        return text_at(value, "event_id") or text_at(value, "trigger_id") or self.signature_id(request)


class Standard(Signature):
    header = "webhook-signature"
    id_header = b"webhook-id"

    def __init__(self, secrets: Sequence[bytes]) -> None:
        super().__init__([_standard_secret(secret) for secret in secrets])

    def signed(self, request: Request) -> Signed:
        id, at = only(request, b"webhook-id", "the id"), only(request, b"webhook-timestamp", "the time")
        return Signed(b".".join((id, at, b"")), only(request, b"webhook-signature", "the signature").split(b" "), at)

    def written(self, digest: bytes) -> bytes:
        return b"v1," + base64.b64encode(digest)


class Hmac(Signature):
    """As the trigger says. The id of a delivery is its signature: any other header could be changed by who sends the request again."""

    id_header = b""

    def __init__(self, secrets: Sequence[bytes], auth: WebhookAuth) -> None:
        super().__init__(secrets)
        self.header = (auth.header or "X-Signature").lower()
        self.algorithm = auth.algorithm
        self._prefix = auth.prefix.encode()
        self._base64 = auth.encoding == "base64"
        self._at_header = (auth.timestamp_header or "").lower().encode()

    def signed(self, request: Request) -> Signed:
        signature = only(request, self.header.encode(), "the signature")
        if not self._at_header:
            return Signed(b"", [signature])
        at = only(request, self._at_header, "the time")
        return Signed(at + b".", [signature], at)

    def written(self, digest: bytes) -> bytes:
        return self._prefix + (base64.b64encode(digest) if self._base64 else super().written(digest))


def text_at(value: Any, key: str) -> str | None:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, str) and 0 < len(found) <= ID_MAX else None


def _seconds(at: bytes) -> int:
    if not at.isdigit() or len(at) > 12:
        raise unauthorized("the time is no number of seconds")
    return int(at)


def _standard_secret(secret: bytes) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(b"whsec_"), validate=True)
    except (binascii.Error, ValueError):
        raise SourceBroken("SECRET_INVALID: a secret of Standard Webhooks is `whsec_` and base64 after it") from None
