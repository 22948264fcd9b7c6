"""Storing: what a payload refers to goes into the object store, from where any host can have it, also when this one is gone."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import msgspec

from ...schemas.payload import Payload, encode, refs_in
from ...schemas.payload import decode as decode_document
from ...schemas.ref import Ref
from ..codecs.registry import codec_named
from ..objects.store import ObjectStore
from .bodies import Bodies
from .bringing import Ways
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
        if not refs_in(payload):
            return payload
        return encode(await self._mapped(decode_document(payload), run))

    async def upload(self, ref: Ref, run: str) -> str:
        """Put the body of a ref into the object store; its digest."""
        body = await asyncio.to_thread(partial(self._bodies.view, ref, verify=True))
        digest = await self._objects.put(body, run=run, key=ref.key)
        self._counters.uploaded += ref.length
        return digest

    @property
    def _objects(self) -> ObjectStore:
        assert self._ways.objects is not None
        return self._ways.objects

    async def _mapped(self, value: Any, run: str) -> Any:
        if isinstance(value, Ref):
            return await self._stored(value, run)
        if isinstance(value, dict):
            return {key: await self._mapped(item, run) for key, item in value.items()}
        return [await self._mapped(item, run) for item in value] if isinstance(value, list) else value

    async def _stored(self, ref: Ref, run: str) -> Ref:
        if ref.digest:
            await self._objects.pin(run, ref.digest, key=ref.key)
            return ref
        if ref.nested:
            ref = await self._with_stored_parts(ref, run)
        return ref.replace(digest=await self.upload(ref, run))

    async def _with_stored_parts(self, ref: Ref, run: str) -> Ref:
        """The value once more, with refs in it that say where in the object store their bodies lie."""
        codec, whole, arena = codec_named(ref.codec), ref.whole, self._bodies.arena
        assert arena is not None
        inside = await self._mapped(codec.decode(self._bodies.view(whole), whole.meta), run)
        encoded = codec.encode([msgspec.Raw(encode(item)) for item in inside] if ref.codec == "list" else inside)
        write = partial(
            arena.write, ref.codec, encoded.parts, run=ref.run, meta=encoded.meta, count=encoded.count, activation=ref.activation,
            again=ref.again,
        )  # fmt: skip
        again = await when_room(self._waiters, write)
        return again.replace(key=ref.key, nested=True, path=ref.path)
