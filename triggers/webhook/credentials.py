"""Credentials that a caller sends along: an API key, a bearer token, a user with a password."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence

from .guard import Guard, only, unauthorized
from .replies import Refusal
from .request import Request


class ApiKey(Guard):
    """In a header, or in the query."""

    def __init__(self, keys: Sequence[bytes], header: str | None, query: str | None) -> None:
        self._keys = keys
        self._query = query or ""
        self.header = "" if query else (header or "X-API-Key").lower()

    def admit(self, request: Request) -> None:
        if not self.header:
            given = request.query.pop(self._query, None)  # from here on nobody sees it
            sent = given.encode() if isinstance(given, str) else b""
        else:
            sent = only(request, self.header.encode(), "the key")
        if not is_one_of(sent, self._keys):
            raise unauthorized("the key is missing or not valid")


class Bearer(Guard):
    def __init__(self, tokens: Sequence[bytes]) -> None:
        self._tokens = tokens

    def admit(self, request: Request) -> None:
        if not is_one_of(_credentials(request, b"bearer", "Bearer"), self._tokens):
            raise unauthorized("the token is not valid", "Bearer")


class Basic(Guard):
    """`pairs`: `user:password`."""

    def __init__(self, pairs: Sequence[bytes]) -> None:
        self._pairs = pairs

    def admit(self, request: Request) -> None:
        try:
            sent = base64.b64decode(_credentials(request, b"basic", _BASIC), validate=True)
        except (binascii.Error, ValueError):
            sent = b""
        if not is_one_of(sent, self._pairs):
            raise unauthorized("user or password is not valid", _BASIC)


_BASIC = 'Basic realm="webhook", charset="UTF-8"'


def is_one_of(sent: bytes, valid: Sequence[bytes]) -> bool:
    """Compared with all of them, however soon one fits: how long it takes must tell nothing."""
    fits = [hmac.compare_digest(sent, each) for each in valid]
    return any(fits)


def _credentials(request: Request, scheme: bytes, challenge: str) -> bytes:
    try:
        name, _, value = only(request, b"authorization", "the credentials").partition(b" ")
    except Refusal as refusal:
        raise unauthorized(str(refusal), challenge) from None
    if name.lower() != scheme:
        raise unauthorized(f"the credentials must be of the scheme {scheme.decode()}", challenge)
    return value.strip()
