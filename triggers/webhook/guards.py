"""Which guard a trigger has: by its `auth`, and by what its secrets are at the moment."""

from __future__ import annotations

import time
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


LOOK_S = 1.0
"""How old what is known of secrets may be."""


class CurrentGuard:
    """The guard of a trigger. Secrets that are exchanged or taken away count from then on, and nothing has to be started anew."""

    def __init__(self, auth: WebhookAuth | None) -> None:
        """Raises SourceBroken, as `now`."""
        self._auth = auth
        self._secrets = [] if auth is None else secrets_of(auth)
        self._guard = Guard() if auth is None else _guard_of(auth, self._secrets)
        self._looked_at = time.monotonic()

    def now(self) -> Guard:
        """Raises SourceBroken if a secret is missing or cannot be one."""
        if self._auth is not None and time.monotonic() - self._looked_at > LOOK_S:
            self._look(self._auth)
        return self._guard

    def _look(self, auth: WebhookAuth) -> None:
        secrets = secrets_of(auth)
        if secrets != self._secrets:
            self._guard, self._secrets = _guard_of(auth, secrets), secrets
        self._looked_at = time.monotonic()


def _guard_of(auth: WebhookAuth, secrets: Sequence[bytes]) -> Guard:
    """Raises SourceBroken."""
    if auth.type == "api_key":
        return ApiKey(secrets, auth.header, auth.query)
    if auth.type == "bearer":
        return Bearer(secrets)
    if auth.type == "basic":
        return Basic(secrets)
    found: Signature = Hmac(secrets, auth) if auth.type == "hmac" else _SIGNATURES[auth.type](secrets)
    found.tolerance_s = auth.tolerance_s
    return found
