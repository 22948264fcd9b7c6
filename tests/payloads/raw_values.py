"""A reader of large values that knows nothing but docs/protocol.md, msgpack and a socket. The steps are those of "Getting the bytes"."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from zlib import crc32

import msgpack
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..fleet.raw_nats import RawNats

REF, CODED = 1, 2
FIELDS = (
    "codec", "length", "crc", "host", "segment", "generation", "offset", "meta", "count", "digest", "key", "run", "activation", "again",
    "path", "nested",
)  # fmt: skip
PATH = FIELDS.index("path")
UNDER_WAY, UPLOADED = 0, 1


def fields(extension: msgpack.ExtType) -> dict[str, Any]:
    """Of a ref, by name."""
    assert extension.code == REF
    return dict(zip(FIELDS, msgpack.unpackb(extension.data), strict=True))


class RawValues:
    """`keys`: encryption keys by name."""

    def __init__(self, nats: RawNats, keys: dict[str, bytes] | None = None) -> None:
        self._nats, self._keys = nats, keys or {}

    def body(self, extension: msgpack.ExtType) -> bytes:
        """The bytes that a ref refers to. Raises LookupError if they cannot be had."""
        ref = fields(extension)
        digest = ref["digest"] or self._uploaded(extension, ref["host"])  # 1, 2
        body = self._object(digest, ref["key"])
        assert (len(body), crc32(body)) == (ref["length"], ref["crc"])
        return body

    def meta(self, digest: str, key: str = "") -> list[Any]:
        answer = self._direct(f"object.meta.{_name(digest, key)}")  # 4
        if answer is None:
            raise LookupError(f"there is no object {digest}")
        return list(msgpack.unpackb(answer))

    def _uploaded(self, extension: msgpack.ExtType, host: str) -> str:
        values = msgpack.unpackb(extension.data)
        values[PATH] = []
        question = msgpack.packb(msgpack.ExtType(REF, msgpack.packb(values)))
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            answer = self._nats.request(f"upload.{host}", question)
            if answer.status:  # nobody is there to answer
                time.sleep(0.25)
                continue
            kind, text = msgpack.unpackb(answer.data)
            if kind == UPLOADED:
                return str(text)
            if kind != UNDER_WAY:
                raise LookupError(text)
        raise LookupError(f"nobody answers for {host}")

    def _object(self, digest: str, key: str) -> bytes:
        name = _name(digest, key)  # 3
        sha256, length, chunk_bytes, _, external, key_check, content, fate, *_ = self.meta(digest, key)
        assert (sha256, external, content) == (digest, False, "whole") and fate != "deleting"
        count = -(-length // chunk_bytes)
        chunks = [self._chunk(name, n) for n in range(count)]  # 5
        if key:
            assert hmac.digest(self._keys[key], b"jetfleet key check", "sha256")[:8] == key_check
            chunks = self._decrypted(chunks, self._keys[key], digest, name, chunk_bytes)
        body = b"".join(chunks)
        assert len(body) == length and hashlib.sha256(body).hexdigest() == digest  # 6
        return body

    def _chunk(self, name: str, n: int) -> bytes:
        found = self._direct(f"object.chunk.{name}.{n}")
        if found is None:
            raise LookupError(f"object {name} has no chunk {n}")
        return found

    def _decrypted(self, chunks: list[bytes], key: bytes, digest: str, name: str, chunk_bytes: int) -> list[bytes]:
        aead = AESGCM(hmac.digest(key, f"jetfleet object {digest} {chunk_bytes}".encode(), "sha256"))
        return [aead.decrypt(n.to_bytes(12, "big"), chunk, f"{name} {n} {len(chunks)}".encode()) for n, chunk in enumerate(chunks)]

    def _direct(self, subject: str) -> bytes | None:
        """The message on a subject of OBJECTS; None if there is none."""
        answer = self._nats.request(f"$JS.API.DIRECT.GET.OBJECTS.{subject}", b"")
        if answer.status != 404:
            assert not answer.status, answer
            return answer.data
        leader = self._nats.request("$JS.API.STREAM.MSG.GET.OBJECTS", json.dumps({"last_by_subj": subject}).encode())
        message = json.loads(leader.data).get("message")
        return None if message is None else base64.b64decode(message.get("data", ""))


def _name(digest: str, key: str) -> str:
    return hashlib.sha256(f"{key} {digest}".encode()).hexdigest() if key else digest
