"""Outgoing values: what a client sends, as payloads. What is too large to travel inside messages goes into the object store first.

Guarantees: when `payload` returns, everything that the payload refers to is in the object store, pinned by the run that it is for, so
that it is there whichever worker reads it first.
Does not: write into an arena. Where the first worker will be is not known yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from zlib import crc32

from ...schemas.flow.definition import Payloads
from ...schemas.payload import Payload
from ...schemas.ref import Coded, Ref
from ..codecs.codec import Codec, Encoded
from ..codecs.registry import codec_name
from ..payloads.layout import Layout

if TYPE_CHECKING:
    from ..objects.store import ObjectStore


_PLAIN = ("", "msgpack", "text", "bytes")


class Outgoing:
    """`objects`: where large values go."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def payload(self, value: Any, run: str, rules: Payloads) -> Payload:
        """The payload of a value for a run. Raises UnencodableValue, UnknownCodec, ObjectsFull, KeyMissing, BrokerError."""
        staged = _Staged(run, rules.encryption or "")
        layout = Layout(rules.inline_max_bytes, staged.write, staged.find, lambda ref: ref)
        try:
            payload = await asyncio.to_thread(layout.payload, value)
            for body in staged.bodies:
                await self._objects.put(body, run=run, key=rules.encryption or "")
        finally:
            layout.forget()
        return payload


def checkable(value: Any) -> Any:
    """The value as `check_event` takes it: what only a codec can write counts as lying elsewhere already."""
    if isinstance(value, dict):
        return {key: checkable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [checkable(item) for item in value]
    return value if codec_name(type(value)) in _PLAIN else Coded(codec_name(type(value)), b"", b"")


class _Staged:
    """Bodies on their way: their refs can be given out before they are stored, since an object is named by its bytes."""

    def __init__(self, run: str, key: str) -> None:
        self.bodies: list[memoryview] = []
        self._run, self._key = run, key

    def write(self, codec: Codec, encoded: Encoded, nested: bool) -> Ref:
        body = _joined(encoded.parts)
        self.bodies.append(body)
        return Ref(
            codec.name, body.nbytes, crc32(body), meta=encoded.meta, count=encoded.count, digest=sha256(body).hexdigest(), key=self._key,
            run=self._run, nested=nested,
        )  # fmt: skip

    def find(self, codec: Codec, encoded: Encoded) -> None:
        """Nothing of it lies anywhere yet."""


def _joined(parts: Sequence[Any]) -> memoryview:
    """As one piece of memory: the value's own where it is one, else a copy."""
    views = [memoryview(part).cast("B") for part in parts]
    return views[0] if len(views) == 1 else memoryview(b"".join(views))
