"""The payload plane of a process: values out of and into payloads, wherever their bytes lie.

    encode    value ─▶ payload: what is large goes into the arena                  (`layout`)
    decode    payload ─▶ value: views of the arena; the bytes must be on this host (`bodies`)
    here      brings them to this host                                             (`bringing`)
    durable   brings them into the object store                                    (`storing`)

Guarantees: what `decode` gives is what was encoded, or it raises; bodies up to CHECKED_AT_ONCE_BYTES are checked before they are given,
larger ones when `check` is called for them, which who records anything made of them must do before. `here` checks first what is dangerous
to read.
Does not: free anything. That is the keeper's and the janitor's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import msgspec

from ...schemas.errors import UnencodableValue, UnreadablePayload
from ...schemas.flow.definition import Payloads
from ...schemas.payload import Payload, encode, refs_in
from ...schemas.payload_errors import PayloadElsewhere, PayloadError
from ...schemas.ref import Coded, Ref, from_ext
from ...schemas.values import MISSING
from ..arena.arena import Arena
from ..arena.folder import FILES
from ..arena.settings import ArenaSettings
from ..arena.stream import EntryWriter
from ..codecs.codec import Codec, Encoded
from ..codecs.path import FileView
from ..codecs.registry import codec_for, codec_named, from_coded, nbytes
from ..objects.store import ObjectStore
from .bodies import Bodies
from .bringing import Bringing, Remote, Ways
from .counters import PlaneCounters
from .layout import Layout, small_payload
from .producer import Producer
from .room import Waiters
from .storing import Storing

PART_INLINE_MAX_BYTES = 4 << 10
"""Parts of large values that are handed on travel inline up to this size."""
VIEWED = frozenset(("buffer", "numpy", "arrow"))
"""Codecs whose values are the arena's memory, always. Of the others a reader gets a copy, in part at least."""
NO_LIMIT = 1 << 62


class Materialise(Protocol):
    def __call__(self, body: memoryview, name: str, /) -> Any:
        """A file with these bytes."""


class Plane:
    """`settings` None: this process has no arena, and copies bodies into its memory."""

    def __init__(self, settings: ArenaSettings | None = None, objects: ObjectStore | None = None, remote: Remote | None = None) -> None:
        self.settings = settings
        self.bodies = Bodies(settings)
        self.ways = Ways(objects, remote)
        self.counters = PlaneCounters()
        self.waiters = Waiters()
        """Who waits for room in the arena."""
        self.materialise: Materialise = _as_it_is
        """Makes a file for who wants a Path."""
        self._bringing = Bringing(self.bodies, self.ways, self.waiters, self.counters)
        self._storing = Storing(self.bodies, self.ways, self.waiters, self.counters)
        self._readers = 0
        self._decoders = {raw: msgspec.msgpack.Decoder(ext_hook=self._opener(raw)) for raw in (False, True)}

    @property
    def arena(self) -> Arena | None:
        """Raises ArenaUnusable when it cannot be opened."""
        return self.bodies.arena

    @property
    def opened(self) -> Arena | None:
        """The arena, if anybody has needed it so far."""
        return self.bodies.opened

    @property
    def files(self) -> Path | None:
        """Where payloads belong that somebody wants as a file, there or not; None: where the system keeps temporary files."""
        return None if self.opened is None else self.opened.settings.folder / FILES

    def close(self) -> None:
        self.bodies.close()

    # --- values into payloads

    def encode(self, value: Any, producer: Producer, rules: Payloads) -> Payload:
        """The payload of a value. Raises UnencodableValue, UnknownCodec, ArenaFull, RunTooLarge, ArenaUnusable."""
        small = small_payload(value, self._inline_max(rules))
        if small is not None:
            return small
        layout = self.layout(producer, rules)
        try:
            return layout.payload(value)
        finally:
            layout.forget()

    def layout(self, producer: Producer, rules: Payloads) -> Layout:
        """A layout for one value. Who asks it again when the arena was full has nothing written twice."""

        def write(codec: Codec, encoded: Encoded, nested: bool) -> Ref:
            return self._write(codec.name, encoded, nested, producer, rules)

        def find(codec: Codec, encoded: Encoded) -> Ref | None:
            return self._find(codec.name, encoded, producer)

        return Layout(self._inline_max(rules), write, find, self._part)

    def _inline_max(self, rules: Payloads) -> int:
        return rules.inline_max_bytes if self.settings else NO_LIMIT

    def stream(self, producer: Producer, codec: str = "bytes", room_bytes: int = 0) -> EntryWriter:
        """A writer for bytes that come piece by piece. `room_bytes`: of them, where that is known.

        Raises ArenaFull, RunTooLarge, ArenaUnusable.
        """
        arena = self.arena
        assert arena is not None
        return arena.stream(codec, run=producer.run, activation=producer.activation, again=producer.again, room_bytes=room_bytes)

    def finished(self, writer: EntryWriter, rules: Payloads, meta: bytes = b"", count: int | None = None) -> Ref:
        """The ref of what was written."""
        ref = writer.finish(meta, count)
        self.counters.written += ref.length
        return ref.replace(key=rules.encryption or "")

    def _write(self, codec: str, encoded: Encoded, nested: bool, producer: Producer, rules: Payloads) -> Ref:
        arena = self.arena
        assert arena is not None
        ref = arena.write(
            codec, encoded.parts, run=producer.run, meta=encoded.meta, count=encoded.count,
            activation=producer.activation, again=producer.again,
        )  # fmt: skip
        self.counters.written += ref.length
        return ref.replace(key=rules.encryption or "", nested=nested)

    def _part(self, ref: Ref) -> Any:
        """What the ref's path leads to, where that is small; else the ref: a number need not be looked for in a gigabyte again."""
        try:
            found = self._read(ref, raw=True)
            size = nbytes(found) if codec_for(found) is not None else len(encode(found))
        except (PayloadError, UnencodableValue):
            return ref  # whoever reads it is told
        return found if size is not None and size <= PART_INLINE_MAX_BYTES else ref

    def _find(self, codec: str, encoded: Encoded, producer: Producer) -> Ref | None:
        """The ref of an entry that is this very memory, of the same run and read in the same way: then there is nothing to write."""
        if self.opened is None or len(encoded.parts) != 1:
            return None
        ref = self.opened.find(encoded.parts[0])
        if ref is None or (ref.run, ref.codec, ref.meta) != (producer.run, codec, encoded.meta):
            return None
        self.counters.passed_on += ref.length
        return ref

    # --- payloads into values

    def decode(self, payload: Payload, *, raw: bool = False) -> Any:
        """The value. `raw`: large `bytes` come as views and files as FileViews. Raises UnreadablePayload, PayloadElsewhere, PayloadLost,
        PayloadCorrupt.
        """
        try:
            return self._decoders[raw].decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError, OverflowError) as error:
            raise UnreadablePayload(f"a payload of {len(payload)} bytes is not a readable value: {error}") from None

    def resolve(self, value: Any, *, raw: bool = False) -> Any:
        """A decoded value with what its refs refer to in their place."""
        if isinstance(value, (Ref, Coded)):
            opened = self._read(value, raw) if isinstance(value, Ref) else self._opened(value, raw)
            return self.materialise(opened.body, opened.name) if type(opened) is FileView and not raw else opened
        if isinstance(value, dict):
            return {key: self.resolve(item, raw=raw) for key, item in value.items()}
        return [self.resolve(item, raw=raw) for item in value] if isinstance(value, (list, tuple)) else value

    def _opener(self, raw: bool) -> Callable[[int, memoryview], Any]:
        return lambda type, data: self.resolve(from_ext(type, data), raw=raw)

    def _opened(self, coded: Coded, raw: bool) -> Any:
        """The value of what travelled in the payload itself."""
        if not coded.path:
            return from_coded(coded)
        found = codec_named(coded.codec).pick(memoryview(coded.body), coded.meta, coded.path)
        return None if found is MISSING else self.resolve(found, raw=raw)

    def _read(self, ref: Ref, raw: bool) -> Any:
        body = self.bodies.view(ref)
        codec = codec_named(ref.codec)
        if ref.path:
            found = codec.pick(body, ref.meta, ref.path)
            return None if found is MISSING else self.resolve(found, raw=raw)
        if raw and ref.codec == "bytes":
            self.counters.handed_out += ref.length
            return body
        self.counters.handed_out += ref.length if ref.codec in VIEWED else 0
        value = codec.decode(body, ref.meta)
        return self.resolve(value, raw=raw) if ref.nested else value

    # --- between hosts

    async def here(self, refs: Iterable[Ref]) -> list[Ref]:
        """Bring what these refs lead to to this host; the refs themselves, and those in what they lead to.

        Raises PayloadLost, PayloadCorrupt, KeyMissing, ArenaFull, BrokerError.
        """
        return await self._bringing.bring(refs)

    def are_at_hand(self, refs: Iterable[Ref]) -> bool:
        """Whether `here` could do nothing for any of these but open it, as who reads it does anyway."""
        return self._bringing.nothing_to_do(refs)

    def check(self, refs: Iterable[Ref]) -> None:
        """Check large bodies that are here. Takes its time: call it in a thread. Raises as `Bodies.check`."""
        self.bodies.check(refs)

    async def value(self, payload: Payload, *, raw: bool = False) -> Any:
        """The value of a payload, wherever its bytes lie. Raises as `here` and `decode`."""
        self._readers += 1
        try:
            refs = refs_in(payload)
            brought = await self.here(refs)
            try:
                await asyncio.to_thread(self.check, brought)
            except PayloadElsewhere:
                await asyncio.to_thread(self.check, await self.here(refs))
            return self.decode(payload, raw=raw)
        finally:
            self._readers -= 1
            if self.settings is None and not self._readers:
                self.bodies.forget_copies()  # what is in memory goes with the last who reads it

    async def durable(self, payload: Payload, run: str) -> Payload:
        """The payload with every ref in it in the object store, pinned by the run. Raises as `Storing.store`."""
        return await self._storing.store(payload, run)

    async def upload(self, ref: Ref, run: str) -> str:
        """Put the body of a ref that is here into the object store; its digest. Raises as `durable`."""
        return await self._storing.upload(ref, run)


def _as_it_is(body: memoryview, name: str) -> FileView:
    return FileView(name, body)
