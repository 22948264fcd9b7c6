"""Which guard a trigger has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...schemas.flow.triggers.webhook import WebhookAuth
from .credentials import ApiKey, Basic, Bearer
from .guard import Guard, secrets_of
from .signatures import Github, Hmac, Signature, Slack, Standard, Stripe

_SIGNATURES: Mapping[str, Callable[[Sequence[bytes]], Signature]] = {
    "github": Github,
    "stripe": Stripe,
    "slack": Slack,
    "standard": Standard,
}


def guard_of(auth: WebhookAuth | None) -> Guard:
    """Raises SourceBroken if a secret is missing or cannot be one."""
    if auth is None:
        return Guard()
    secrets = secrets_of(auth)
    if auth.type == "api_key":
        return ApiKey(secrets, auth.header, auth.query)
    if auth.type == "bearer":
        return Bearer(secrets)
    if auth.type == "basic":
        return Basic(secrets)
    found: Signature = Hmac(secrets, auth) if auth.type == "hmac" else _SIGNATURES[auth.type](secrets)
    found.tolerance_s = auth.tolerance_s
    return found
