"""Moored payloads: values out of a file, in the object store of the fleet that they are brought to, and journals that say so.

A value gets the ref of an object; what stands inside it is moored before it. What is not in the file keeps the ref that it had: whoever
reads it is told that it is lost.
"""

from __future__ import annotations

import asyncio
from typing import Any
from zlib import crc32

import msgspec

from ...schemas.payload import Payload, decode, encode, refs_in
from ...schemas.records import Record
from ...schemas.ref import Ref
from ..codecs.registry import codec_named
from ..objects.store import ObjectStore
from ..payloads.bringing import refs_of
from ..payloads.storing import encoded_again, exchanged
from .manifest import DamagedFile, PayloadPart, Place
from .reading import JetrunFile

PAYLOAD_FIELDS = ("payload", "meta", "output")
"""The fields of records that hold payloads."""


def payloads_of(record: Record) -> list[Payload]:
    """The payloads in a record."""
    found = (getattr(record, name, None) for name in PAYLOAD_FIELDS)
    return [payload for payload in found if payload is not None]


def place_of(ref: Ref) -> Place:
    """Where a ref says that its value lies."""
    return ref.entry if ref.host else (ref.digest,)


class Mooring:
    """Of one file's payloads, for one run. `digests`: the objects that it was given, and whether refs stand inside them."""

    def __init__(self, file: JetrunFile, objects: ObjectStore, run: str) -> None:
        self._file, self._objects, self._run = file, objects, run
        self._parts: dict[Place, PayloadPart] = {tuple(part.place): part for part in file.manifest.payloads}
        self._moored: dict[Place, Ref] = {}
        self.digests: dict[str, bool] = {}

    async def record(self, record: Record) -> Record:
        """The record with its payloads moored; itself if there is nothing to moor. Raises DamagedFile, ObjectsFull, BrokerError."""
        changed = {}
        for name in PAYLOAD_FIELDS:
            payload = getattr(record, name, None)
            if payload is not None and (moored := await self.payload(payload)) is not payload:
                changed[name] = moored
        return msgspec.structs.replace(record, **changed) if changed else record

    async def payload(self, payload: Payload) -> Payload:
        """The payload with what the file has moored; itself if that is nothing."""
        moored = await self._all(refs_in(payload))
        return encode(exchanged(decode(payload), moored)) if any(ref != there for ref, there in moored.items()) else payload

    async def _all(self, refs: list[Ref]) -> dict[Ref, Ref]:
        return {ref: (await self._whole(ref.whole)).replace(path=ref.path, count=ref.count) for ref in dict.fromkeys(refs)}

    async def _whole(self, ref: Ref) -> Ref:
        place = place_of(ref)
        if place not in self._moored:
            part = self._parts.get(place)
            self._moored[place] = ref if part is None else await self._stored(ref, part)
        return self._moored[place]

    async def _stored(self, ref: Ref, part: PayloadPart) -> Ref:
        body: Any = await asyncio.to_thread(self._file.payload, part)
        if len(body) != ref.length or crc32(body) != ref.crc:
            raise DamagedFile(f"{ref} is in the file with other bytes than its ref says")
        if ref.nested:
            ref, body = await self._with_moored_parts(ref, body)
        digest = await self._objects.put(memoryview(body), run=self._run)
        self.digests[digest] = ref.nested
        return ref.replace(host="", segment="", generation=0, offset=0, digest=digest, key="")

    async def _with_moored_parts(self, ref: Ref, body: bytes) -> tuple[Ref, bytes]:
        codec = codec_named(ref.codec)
        inside = await asyncio.to_thread(codec.decode, memoryview(body), ref.meta)
        moored = await self._all(list(refs_of(inside)))
        if not moored:
            return ref, body
        encoded = await asyncio.to_thread(encoded_again, codec, inside, moored)
        again = b"".join(encoded.parts)
        return ref.replace(length=len(again), crc=crc32(again), meta=encoded.meta, count=encoded.count), again
