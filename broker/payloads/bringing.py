"""Bringing: what payloads refer to comes to this host, from the object store or through the host that holds it.

Guarantees: the same body is fetched once at a time, whoever wants it; what was fetched is what was written, or it is an error. Bodies that
are dangerous to read before they were checked are checked first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ...schemas.payload_errors import PayloadCorrupt, PayloadElsewhere, PayloadLost
from ...schemas.ref import Ref
from ..codecs.registry import codec_named
from ..objects.store import ObjectStore
from .bodies import CHECKED_AT_ONCE_BYTES, Bodies, Key, key
from .counters import PlaneCounters
from .room import Waiters, when_room

CHECKED_FIRST = frozenset(("arrow", "pandas", "pickle"))
"""Codecs whose libraries follow places and lengths that they find in the bytes: with wrong ones they end the process."""


class Remote(Protocol):
    """Whoever can have the holder of an entry upload it."""

    async def uploaded(self, ref: Ref) -> str:
        """The digest of the object that the entry is now. Raises PayloadLost if nobody has it."""


@dataclass(slots=True)
class Ways:
    """The ways to other hosts that this process has."""

    objects: ObjectStore | None = None
    remote: Remote | None = None


class Bringing:
    """To the host of these bodies."""

    def __init__(self, bodies: Bodies, ways: Ways, waiters: Waiters, counters: PlaneCounters) -> None:
        self._bodies, self._ways, self._waiters, self._counters = bodies, ways, waiters, counters
        self._under_way: dict[Key, asyncio.Task[None]] = {}

    async def bring(self, refs: Iterable[Ref]) -> list[Ref]:
        """Bring what these refs lead to; the refs themselves, and those in what they lead to.

        Raises PayloadLost, PayloadCorrupt, KeyMissing, ArenaFull, BrokerError.
        """
        brought: list[Ref] = []
        for ref in refs:
            await self._bring(ref, brought)
        return brought

    def nothing_to_do(self, refs: Iterable[Ref]) -> bool:
        """Whether `bring` could do nothing for any of these but open it, as who reads it does anyway."""
        return all(_is_simple(ref) and self._bodies.only_here(ref) for ref in refs)

    async def _bring(self, ref: Ref, brought: list[Ref]) -> None:
        if not self._bodies.are_here(ref):
            await self._once(ref.whole)
        if ref.length > CHECKED_AT_ONCE_BYTES and not _is_simple(ref):
            try:
                await asyncio.to_thread(self._bodies.check, [ref])
            except PayloadElsewhere:
                await self._once(ref.whole)
        brought.append(ref)
        if ref.nested:
            there, others = await asyncio.to_thread(self._inside, ref)
            brought += there
            for inner in others:
                await self._bring(inner, brought)

    def _inside(self, ref: Ref) -> tuple[list[Ref], list[Ref]]:
        """The refs that reading this one leads to: those that need nothing more, and the others. There may be very many."""
        codec, body = codec_named(ref.codec), self._bodies.view(ref)
        value = codec.pick(body, ref.meta, ref.path) if ref.path else codec.decode(body, ref.meta)
        there: list[Ref] = []
        others: list[Ref] = []
        for inner in refs_of(value):
            (there if _is_simple(inner) and self._bodies.are_here(inner) else others).append(inner)
        return there, others

    async def _once(self, ref: Ref) -> None:
        """Fetch the body; who asks for it meanwhile waits for the same."""
        task = self._under_way.get(key(ref))
        if task is None:
            task = self._under_way[key(ref)] = asyncio.create_task(self._fetch(ref))
            task.add_done_callback(lambda _: self._under_way.pop(key(ref), None))
        await asyncio.shield(task)

    async def _fetch(self, ref: Ref) -> None:
        digest = ref.digest
        if not digest:
            if self._ways.remote is None:
                raise PayloadLost(f"{ref} lies on a host that cannot be asked from here", [ref])
            digest = await self._ways.remote.uploaded(ref)
        if self._ways.objects is None:
            raise PayloadLost(f"{ref} lies in an object store that cannot be reached from here", [ref])
        try:
            self._bodies.add_copy(ref, await self._download(self._ways.objects, ref, digest))
        except PayloadLost as error:  # the store knows only the digest: say whose value it was
            raise type(error)(f"{ref} is lost: {error}", [ref]) from None
        self._counters.downloaded += ref.length

    async def _download(self, objects: ObjectStore, ref: Ref, digest: str) -> Ref | memoryview:
        arena = self._bodies.arena
        if arena is None:
            memory = bytearray()
            await objects.get(digest, memory.extend, key=ref.key)
            return memoryview(memory).toreadonly()
        opened = partial(arena.stream, ref.codec, run=ref.run, activation=ref.activation, again=ref.again, room_bytes=ref.length)
        # With room for the whole body: none waits in the middle for what another one has that waits too.
        writer = await when_room(self._waiters, ref.run, opened)
        try:
            await objects.get(digest, writer.write, key=ref.key)
        except BaseException:
            writer.abort()
            raise
        # The key goes along: who hands the copy on, and uploads it again, must not do that in the clear.
        copy = writer.finish(meta=ref.meta, count=ref.count).replace(key=ref.key)
        if (copy.length, copy.crc) != (ref.length, ref.crc):
            raise PayloadCorrupt(f"{ref}: the object {digest[:12]} is not what was written", [ref])
        return copy


def _is_simple(ref: Ref) -> bool:
    """Whether its bytes are all that reading it needs, and harmless before they are checked."""
    return not ref.nested and (ref.codec not in CHECKED_FIRST or ref.length <= CHECKED_AT_ONCE_BYTES)


def refs_of(value: Any) -> Iterator[Ref]:
    """The refs that stand in a decoded value."""
    if isinstance(value, Ref):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from refs_of(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from refs_of(item)
