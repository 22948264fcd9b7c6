"""Guards: how a caller proves who it is. One per trigger, made from its `auth` and the secrets that it names.

    admit(request)           before the body is read: keys and passwords
    verify(request, body)    after: signatures, over the bytes as they came

Guarantees: secrets are compared in constant time, all that are valid each time; a secret that is not set keeps the trigger from listening.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ...broker import secrets
from ...broker.triggers.source import SourceBroken
from ...schemas.flow.triggers.webhook import WebhookAuth
from .replies import Refusal
from .request import Request
from .spool import Spool


class Guard:
    """Lets everybody in. `header`: which holds a secret of the caller's, beyond those that always do."""

    header: str = ""
    id_header = b"idempotency-key"
    """Names the delivery: the same one is the same run."""

    def admit(self, request: Request) -> None:
        """Raises Refusal."""

    def verify(self, request: Request, body: Spool) -> None:
        """Raises Refusal, OSError. Of a large body it takes its time."""

    def delivery(self, request: Request, value: Any) -> str | None:
        """The id of a delivery that has no header for it."""
        return None

    def handshake(self, value: Any) -> bytes | None:
        """What to answer to a request that only asks whether somebody is here: it is no event."""
        return None


def secrets_of(auth: WebhookAuth) -> list[bytes]:
    """Raises SourceBroken if one of them is not set, or has no entry at the key."""
    return [_entry(name, auth.key) for name in auth.secrets]


def _entry(name: str, key: str) -> bytes:
    try:
        text = secrets.require(name)
    except secrets.SecretMissing as error:
        raise SourceBroken(f"{error.code}: {error}") from None
    if not text.startswith("{"):
        return text.encode()
    try:
        found = json.loads(text)[key]
    except ValueError:
        return text.encode()
    except KeyError:
        raise SourceBroken(f"SECRET_MISSING: the secret `{name}` is a map without `{key}`: add it, or name another `key`") from None
    if not isinstance(found, str) or not found:
        raise SourceBroken(f"SECRET_MISSING: the secret `{name}` has no text at `{key}`")
    return found.encode()


def unauthorized(message: str, challenge: str = "") -> Refusal:
    headers: Sequence[tuple[str, str]] = [("www-authenticate", challenge)] if challenge else []
    return Refusal(401, "UNAUTHORIZED", message, headers=headers, close=True)


def only(request: Request, name: bytes, what: str) -> bytes:
    """The value of a header that must be there once. Raises Refusal."""
    found = request.all(name)
    if len(found) != 1 or not found[0]:
        count = "is missing" if not found or not found[0] else "came more than once"
        raise unauthorized(f"{what}, the header {name.decode()}, {count}")
    return found[0]
