"""Encryption of what leaves the host: AES-256-GCM, chunk by chunk, under keys from the environment (extra `encryption`).

Every object has a key of its own: HMAC-SHA-256, under the named key, of the digest of the object's bytes and the size of its chunks. The
nonce of a chunk is its number. So a nonce comes twice under one key only for the same chunk of the same bytes, which gives the same
ciphertext: nothing is learnt from that, no count of chunks has to be kept anywhere, and an upload can be continued by somebody else. (With
random nonces under one key chance would set a limit to how much it may encrypt.)

Name and number of a chunk, and how many there are, are authenticated with it: chunks cannot be exchanged, reordered or left out unnoticed.
What an onlooker still sees: how long an object is, its digest, and so whether it is one that he has himself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import platform
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...schemas.errors import UsageError
from ...schemas.payload_errors import KeyMissing, PayloadCorrupt

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VARIABLE = "JETFLEET_PAYLOAD_KEY_"
KEY_BYTES = 32
_NONCE_BYTES, _CHECK_BYTES = 12, 8
_NAME = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def object_name(digest: str, key: str = "") -> str:
    """The name of the object with these bytes. One that is encrypted has another than the same bytes in the clear, or under another key."""
    return hashlib.sha256(f"{key} {digest}".encode()).hexdigest() if key else digest


class Keys:
    """The keys of this process, by name: `JETFLEET_PAYLOAD_KEY_<NAME>`, 32 bytes in base64."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment

    def cipher(self, name: str, digest: str, length: int, chunk_bytes: int) -> Cipher:
        """For the object with this digest. Raises KeyMissing if the key is not there or no key, UsageError where the library is missing."""
        return Cipher(name, self.secret(name), digest, length, chunk_bytes)

    def secret(self, name: str) -> bytes:
        """The 32 bytes of a key. Raises KeyMissing."""
        if not _NAME.fullmatch(name):
            raise KeyMissing(f"{name!r} is no name of a key: letters, digits, - and _")
        variable = VARIABLE + name.upper().replace("-", "_")
        text = self._environment.get(variable)
        if not text:
            raise KeyMissing(
                f"the key {name!r} is not in the environment of this process on host {platform.node()}: set {variable} to it, "
                "32 bytes in base64, on all workers and for whoever reads; a new one: `openssl rand -base64 32`"
            )
        try:
            secret = base64.b64decode(text.strip(), validate=True)
        except (binascii.Error, ValueError):
            secret = b""
        if len(secret) != KEY_BYTES:
            raise KeyMissing(f"{variable} is no key: it must be 32 bytes in base64, as `openssl rand -base64 32` prints them")
        return secret

    def check(self, name: str) -> bytes:
        """What tells this key from another of the same name, and nothing else about it. Raises KeyMissing."""
        return hmac.digest(self.secret(name), b"jetfleet key check", "sha256")[:_CHECK_BYTES]


class Cipher:
    """Encrypts and decrypts the chunks of one object."""

    def __init__(self, key: str, secret: bytes, digest: str, length: int, chunk_bytes: int) -> None:
        own = hmac.digest(secret, f"jetfleet object {digest} {chunk_bytes}".encode(), "sha256")
        self._aead = _aead(own)
        self._name = object_name(digest, key)
        self._chunks = -(-length // chunk_bytes)

    def seal(self, n: int, data: bytes) -> bytes:
        """The n-th chunk as it leaves the host, 16 bytes longer."""
        return self._aead.encrypt(_nonce(n), data, self._about(n))

    def open(self, n: int, data: bytes) -> bytes:
        """The n-th chunk as it was. Raises PayloadCorrupt if it is not what was encrypted."""
        from cryptography.exceptions import InvalidTag

        try:
            return self._aead.decrypt(_nonce(n), data, self._about(n))
        except InvalidTag:
            raise PayloadCorrupt(f"chunk {n} of object {self._name[:12]} is not what was encrypted") from None

    def _about(self, n: int) -> bytes:
        return f"{self._name} {n} {self._chunks}".encode()


def _nonce(n: int) -> bytes:
    return n.to_bytes(_NONCE_BYTES, "big")


def _aead(key: bytes) -> AESGCM:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        raise UsageError("encrypted payloads need a library: pip install 'jetfleet[encryption]'") from None
    return AESGCM(key)
