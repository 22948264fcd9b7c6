"""Storing: what a payload refers to goes into the object store, from where any host can have it, also when this one is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import msgspec

from ...schemas.payload import Payload, encode, refs_in
from ...schemas.payload import decode as decode_document
from ...schemas.ref import Ref
from ..codecs.codec import Codec, Encoded
from ..codecs.registry import codec_named
from ..objects.store import ObjectStore
from .bodies import Bodies
from .bringing import Ways, refs_of
from .counters import PlaneCounters
from .room import Waiters, when_room


class Storing:
    """Of bodies that are on this host."""

    def __init__(self, bodies: Bodies, ways: Ways, waiters: Waiters, counters: PlaneCounters) -> None:
        self._bodies, self._ways, self._waiters, self._counters = bodies, ways, waiters, counters

    async def store(self, payload: Payload, run: str) -> Payload:
        """The payload with every ref in it in the object store, pinned by the run.

        Raises ObjectsFull, PayloadLost, KeyMissing, BrokerError.
        """
        stored = await self._all_stored(refs_in(payload), run)
        return encode(exchanged(decode_document(payload), stored)) if stored else payload

    async def upload(self, ref: Ref, run: str) -> str:
        """Put the body of a ref into the object store; its digest."""
        body = await asyncio.to_thread(partial(self._bodies.view, ref, verify=True))
        return await self._objects.put(body, run=run, key=ref.key, sent=self._uploaded)

    def _uploaded(self, sent_bytes: int) -> None:
        self._counters.uploaded += sent_bytes

    @property
    def _objects(self) -> ObjectStore:
        assert self._ways.objects is not None
        return self._ways.objects

    async def _all_stored(self, refs: Iterable[Ref], run: str) -> dict[Ref, Ref]:
        """Each of the refs, and what stands in its place once its body is stored."""
        return {ref: await self._stored(ref, run) for ref in dict.fromkeys(refs)}

    async def _stored(self, ref: Ref, run: str) -> Ref:
        if ref.digest:
            await self._objects.pin(run, ref.digest, key=ref.key)
            return ref
        if ref.nested:
            ref = await self._with_stored_parts(ref, run)
        return ref.replace(digest=await self.upload(ref, run))

    async def _with_stored_parts(self, ref: Ref, run: str) -> Ref:
        """The value once more, with refs in it that say where in the object store their bodies lie; itself where they do so already."""
        codec, whole, arena = codec_named(ref.codec), ref.whole, self._bodies.arena
        assert arena is not None
        # In threads: such a value may be as large as any.
        inside = await asyncio.to_thread(lambda: codec.decode(self._bodies.view(whole), whole.meta))
        stored = await self._all_stored(await asyncio.to_thread(lambda: list(refs_of(inside))), run)
        if all(each == there for each, there in stored.items()):
            return ref
        encoded = await asyncio.to_thread(encoded_again, codec, inside, stored)
        write = partial(
            arena.write, ref.codec, encoded.parts, run=ref.run, meta=encoded.meta, count=encoded.count, activation=ref.activation,
            again=ref.again,
        )  # fmt: skip
        again = await when_room(self._waiters, run, write)
        return again.replace(key=ref.key, nested=True, path=ref.path)


def encoded_again(codec: Codec, value: Any, stored: Mapping[Ref, Ref]) -> Encoded:
    """A structured value with other refs in the places of those in it."""
    changed = exchanged(value, stored)
    return codec.encode([msgspec.Raw(encode(item)) for item in changed] if codec.name == "list" else changed)


def exchanged(value: Any, stored: Mapping[Ref, Ref]) -> Any:
    """A decoded value with other refs in the places of those in it."""
    if isinstance(value, Ref):
        return stored[value]
    if isinstance(value, dict):
        return {key: exchanged(item, stored) for key, item in value.items()}
    return [exchanged(item, stored) for item in value] if isinstance(value, list) else value
