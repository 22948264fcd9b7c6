"""The payload plane of a process: values out of and into payloads, wherever their bytes lie.

    encode    value ─▶ payload: what is large goes into the arena
    decode    payload ─▶ value: views of the arena; the bytes must be on this host
    here      brings them to this host
    durable   brings them into the object store

Guarantees: what `decode` gives is what was encoded, or it raises; bodies up to CHECKED_AT_ONCE_BYTES are checked before they are given,
larger ones when `check` is called for them, which who records anything made of them must do before. `here` checks first what is dangerous
to read.
Does not: free anything. That is the keeper's and the janitor's work.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import msgspec

from ...schemas.errors import UnencodableValue, UnreadablePayload
from ...schemas.flow.definition import Payloads
from ...schemas.payload import Payload, encode, refs_in
from ...schemas.payload import decode as decode_document
from ...schemas.payload_errors import PayloadCorrupt, PayloadElsewhere, PayloadError, PayloadLost
from ...schemas.ref import Coded, Ref, from_ext
from ...schemas.values import MISSING
from ..arena.arena import Arena
from ..arena.settings import ArenaSettings
from ..arena.stream import EntryWriter
from ..codecs.codec import Codec, Encoded
from ..codecs.path import FileView
from ..codecs.registry import codec_for, codec_named, from_coded, nbytes
from ..objects.store import ObjectStore
from .counters import PlaneCounters
from .layout import Layout, small_payload
from .producer import Producer
from .room import Waiters, when_room

CHECKED_AT_ONCE_BYTES = 1 << 20
"""Checking one MiB takes 0.1 ms or less; larger bodies are checked beside the work on them."""
PART_INLINE_MAX_BYTES = 4 << 10
"""Parts of large values that are handed on travel inline up to this size."""
CHECKED_FIRST = frozenset(("arrow", "pandas", "pickle"))
"""Codecs whose libraries follow places and lengths that they find in the bytes: with wrong ones they end the process."""
NO_LIMIT = 1 << 62
COPIES_MAX = 10_000
"""Bodies of other hosts that this process remembers to have copied."""

Key: TypeAlias = str | tuple[str, str, int, int]


class Materialise(Protocol):
    def __call__(self, body: memoryview, name: str, /) -> Any:
        """A file with these bytes."""


class Remote(Protocol):
    """Whoever can have the holder of an entry upload it."""

    async def uploaded(self, ref: Ref) -> str:
        """The digest of the object that the entry is now. Raises PayloadLost if nobody has it."""


class Plane:
    """The arena is opened when it is first needed. `settings` None: this process has none, and copies bodies into its memory."""

    def __init__(self, settings: ArenaSettings | None = None, objects: ObjectStore | None = None, remote: Remote | None = None) -> None:
        self.settings = settings
        self.objects = objects
        self.remote = remote
        self.counters = PlaneCounters()
        self.waiters = Waiters()
        """Who waits for room in the arena."""
        self._arena: Arena | None = None
        self._opening = threading.Lock()  # nodes in threads come here at once
        self._copies: dict[Key, Ref | memoryview] = {}
        self._readers = 0
        self._damaged: set[Key] = set()
        """Bodies whose bytes in this arena are not the right ones, and which are to be had elsewhere."""
        self._bringing: dict[Key, asyncio.Task[None]] = {}
        self.materialise: Materialise = _as_it_is
        """Makes a file for who wants a Path."""
        self._decoders = {raw: msgspec.msgpack.Decoder(ext_hook=self._opener(raw)) for raw in (False, True)}

    @property
    def arena(self) -> Arena | None:
        """Raises ArenaUnusable when it cannot be opened."""
        if self._arena is None and self.settings is not None:
            with self._opening:
                self._arena = self._arena or Arena.open(self.settings)
        return self._arena

    @property
    def opened(self) -> Arena | None:
        """The arena, if anybody has needed it so far."""
        return self._arena

    @property
    def files(self) -> Path | None:
        """The folder for payloads that somebody wants as a file; None: where the system keeps temporary files."""
        if self._arena is None:
            return None
        folder = self._arena.settings.folder / "files"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def close(self) -> None:
        self._copies.clear()
        if self._arena is not None:
            self._arena.close()

    # --- values into payloads

    def encode(self, value: Any, producer: Producer, rules: Payloads) -> Payload:
        """The payload of a value. Raises UnencodableValue, UnknownCodec, ArenaFull, RunTooLarge, ArenaUnusable."""
        small = self.small(value, rules)
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

    def small(self, value: Any, rules: Payloads) -> Payload | None:
        """The payload of a value that stays in it as a whole; None: `encode` has more to do."""
        return small_payload(value, self._inline_max(rules))

    def _inline_max(self, rules: Payloads) -> int:
        return rules.inline_max_bytes if self.settings else NO_LIMIT

    def stream(self, producer: Producer) -> EntryWriter:
        """A writer for bytes whose number is not known yet. Raises ArenaFull, RunTooLarge, ArenaUnusable."""
        arena = self.arena
        assert arena is not None
        return arena.stream("bytes", run=producer.run, activation=producer.activation, again=producer.again)

    def finished(self, writer: EntryWriter, rules: Payloads) -> Ref:
        """The ref of what was written."""
        ref = writer.finish()
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
        if self._arena is None or len(encoded.parts) != 1:
            return None
        ref = self._arena.find(encoded.parts[0])
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

    def check(self, refs: Iterable[Ref]) -> None:
        """Check the bodies that were too large to be checked at once. Takes its time: call it in a thread.

        Raises PayloadCorrupt, PayloadLost; PayloadElsewhere if somebody else has the right bytes of all that is damaged here: `here` brings
        them.
        """
        elsewhere: PayloadElsewhere | None = None
        for ref in refs:
            found = self._found(ref)
            if not isinstance(found, Ref) or self._arena is None:
                continue
            try:
                self._arena.verify(found)
            except PayloadLost as error:
                if self._copies.pop(_key(ref), None) is None and not ref.digest:
                    raise
                self._damaged.add(_key(ref))
                elsewhere = PayloadElsewhere(f"{error}; it is to be had elsewhere", ref)
        if elsewhere is not None:
            raise elsewhere

    def body(self, ref: Ref) -> memoryview:
        """The bytes of a ref that is here, without its path, checked. Raises as `decode`."""
        return self._body(ref, verify=True)

    def _opener(self, raw: bool) -> Callable[[int, memoryview], Any]:
        return lambda type, data: self.resolve(from_ext(type, data), raw=raw)

    def _opened(self, coded: Coded, raw: bool) -> Any:
        """The value of what travelled in the payload itself."""
        if not coded.path:
            return from_coded(coded)
        found = codec_named(coded.codec).pick(memoryview(coded.body), coded.meta, coded.path)
        return None if found is MISSING else self.resolve(found, raw=raw)

    def _read(self, ref: Ref, raw: bool) -> Any:
        body = self._body(ref)
        codec = codec_named(ref.codec)
        if ref.path:
            found = codec.pick(body, ref.meta, ref.path)
            return None if found is MISSING else self.resolve(found, raw=raw)
        self.counters.handed_out += ref.length
        if raw and ref.codec == "bytes":
            return body
        value = codec.decode(body, ref.meta)
        return self.resolve(value, raw=raw) if ref.nested else value

    def _body(self, ref: Ref, verify: bool = False) -> memoryview:
        found = self._found(ref)
        if isinstance(found, memoryview):
            return found
        arena = self.arena  # another process of this host may have fetched it: then this one may not have opened it yet
        assert arena is not None
        return arena.view(found, verify=verify or ref.length <= CHECKED_AT_ONCE_BYTES)

    def _found(self, ref: Ref) -> Ref | memoryview:
        """Where the body lies on this host. Raises PayloadElsewhere."""
        copy = self._copies.get(_key(ref))
        if copy is not None:
            return copy
        arena = self.arena
        if arena is not None and arena.holds(ref):
            return ref
        raise PayloadElsewhere(f"{ref} is not on this host", ref)

    # --- to this host

    async def here(self, payloads: Iterable[Payload]) -> list[Ref]:
        """Bring what these payloads refer to to this host; the refs in them, and those in what they refer to.

        Raises PayloadLost, PayloadCorrupt, KeyMissing, ArenaFull, BrokerError.
        """
        brought: list[Ref] = []
        for payload in payloads:
            for ref in refs_in(payload):
                await self._bring(ref, brought)
        return brought

    async def value(self, payload: Payload, *, raw: bool = False) -> Any:
        """The value of a payload, wherever its bytes lie. Raises as `here` and `decode`."""
        self._readers += 1
        try:
            refs = await self.here([payload])
            try:
                await asyncio.to_thread(self.check, refs)
            except PayloadElsewhere:
                await asyncio.to_thread(self.check, await self.here([payload]))
            return self.decode(payload, raw=raw)
        finally:
            self._readers -= 1
            if self.settings is None and not self._readers:
                self._copies.clear()  # what is in memory goes with the last who reads it

    async def _bring(self, ref: Ref, brought: list[Ref]) -> None:
        if not self._is_here(ref):
            await self._once(ref.whole)
        if ref.length > CHECKED_AT_ONCE_BYTES and (ref.nested or ref.codec in CHECKED_FIRST):
            try:
                await asyncio.to_thread(self.check, [ref])
            except PayloadElsewhere:
                await self._once(ref.whole)
        brought.append(ref)
        if ref.nested:
            for inner in self._nested(ref):
                await self._bring(inner, brought)

    def _is_here(self, ref: Ref) -> bool:
        key = _key(ref)
        if key in self._damaged and key not in self._copies:
            return False
        try:
            self._body(ref)
        except (PayloadElsewhere, PayloadLost) as error:
            if isinstance(error, PayloadLost) and self._copies.pop(key, None) is None and not ref.digest:
                raise  # it should be here, and nobody else ever had it
            return False
        return True

    def _nested(self, ref: Ref) -> list[Ref]:
        """The refs that reading this one leads to."""
        codec, body = codec_named(ref.codec), self._body(ref)
        value = codec.pick(body, ref.meta, ref.path) if ref.path else codec.decode(body, ref.meta)
        return list(_refs(value))

    async def _once(self, ref: Ref) -> None:
        """Fetch the body; who asks for it meanwhile waits for the same."""
        key = _key(ref)
        task = self._bringing.get(key)
        if task is None:
            task = self._bringing[key] = asyncio.create_task(self._fetch(ref))
            task.add_done_callback(lambda _: self._bringing.pop(key, None))
        await asyncio.shield(task)

    async def _fetch(self, ref: Ref) -> None:
        digest = ref.digest
        if not digest:
            if self.remote is None:
                raise PayloadLost(f"{ref} lies on a host that cannot be asked from here", [ref])
            digest = await self.remote.uploaded(ref)
        if self.objects is None:
            raise PayloadLost(f"{ref} lies in an object store that cannot be reached from here", [ref])
        if len(self._copies) >= COPIES_MAX:
            self._copies.clear()
        try:
            self._copies[_key(ref)] = await self._download(self.objects, ref, digest)
        except PayloadLost as error:  # the store knows only the digest: say whose value it was
            raise type(error)(f"{ref} is lost: {error}", [ref]) from None
        self.counters.downloaded += ref.length

    async def _download(self, objects: ObjectStore, ref: Ref, digest: str) -> Ref | memoryview:
        arena = self.arena
        if arena is None:
            memory = bytearray()
            await objects.get(digest, memory.extend, key=ref.key)
            return memoryview(memory).toreadonly()
        writer = await when_room(self.waiters, lambda: self._opened_for(arena, ref))
        try:
            await objects.get(digest, lambda chunk: _append(writer, chunk), key=ref.key)
        except BaseException:
            writer.abort()
            raise
        copy = writer.finish(meta=ref.meta, count=ref.count)
        if (copy.length, copy.crc) != (ref.length, ref.crc):
            raise PayloadCorrupt(f"{ref}: the object {digest[:12]} is not what was written", [ref])
        return copy

    def _opened_for(self, arena: Arena, ref: Ref) -> EntryWriter:
        """A new entry with room for the whole body: none waits in the middle for what another one has that waits too."""
        writer = arena.stream(ref.codec, run=ref.run, activation=ref.activation, again=ref.again)
        try:
            writer.make_room(ref.length)
        except BaseException:
            writer.abort()
            raise
        return writer

    def copies(self, refs: Iterable[Ref]) -> dict[Key, Ref]:
        """Where the bodies of these refs were copied to, for another process with this arena."""
        found = {_key(ref): self._copies.get(_key(ref)) for ref in refs}
        return {key: copy for key, copy in found.items() if isinstance(copy, Ref)}

    def adopt(self, copies: Mapping[Key, Ref]) -> None:
        """What `copies` of another process said."""
        if len(self._copies) >= COPIES_MAX:
            self._copies.clear()
        self._copies.update(copies)

    # --- for good

    async def durable(self, payload: Payload, run: str) -> Payload:
        """The payload with every ref in it in the object store, pinned by the run.

        Raises ObjectsFull, PayloadLost, KeyMissing, BrokerError.
        """
        if not refs_in(payload):
            return payload
        return encode(await self._mapped(decode_document(payload), run))

    async def upload(self, ref: Ref, run: str) -> str:
        """Put the body of a ref that is here into the object store; its digest."""
        assert self.objects is not None
        digest = await self.objects.put(await asyncio.to_thread(self.body, ref), run=run, key=ref.key)
        self.counters.uploaded += ref.length
        return digest

    async def _mapped(self, value: Any, run: str) -> Any:
        if isinstance(value, Ref):
            return await self._stored(value, run)
        if isinstance(value, dict):
            return {key: await self._mapped(item, run) for key, item in value.items()}
        return [await self._mapped(item, run) for item in value] if isinstance(value, list) else value

    async def _stored(self, ref: Ref, run: str) -> Ref:
        if ref.digest:
            assert self.objects is not None
            await self.objects.pin(run, ref.digest, key=ref.key)
            return ref
        if ref.nested:
            ref = await self._with_stored_parts(ref, run)
        return ref.replace(digest=await self.upload(ref, run))

    async def _with_stored_parts(self, ref: Ref, run: str) -> Ref:
        """The value once more, with refs in it that say where in the object store their bodies lie."""
        codec = codec_named(ref.codec)
        whole = ref.whole
        inside = await self._mapped(codec.decode(self._body(whole), whole.meta), run)
        parts = [msgspec.Raw(encode(item)) for item in inside] if ref.codec == "list" else inside
        encoded = codec.encode(parts)
        arena = self.arena
        assert arena is not None
        write = partial(
            arena.write, ref.codec, encoded.parts, run=ref.run, meta=encoded.meta, count=encoded.count, activation=ref.activation,
            again=ref.again,
        )  # fmt: skip
        again = await when_room(self.waiters, write)
        return again.replace(key=ref.key, nested=True, path=ref.path)


def _append(writer: EntryWriter, chunk: memoryview) -> None:
    writer.write(chunk)


def _as_it_is(body: memoryview, name: str) -> FileView:
    return FileView(name, body)


def _key(ref: Ref) -> Key:
    return ref.entry if ref.host else ref.digest


def _refs(value: Any) -> Iterator[Ref]:
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _refs(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _refs(item)
