"""The janitor: frees what no run needs. Any number of them may sweep at a time, and any may die or be stopped between two steps.

    1  pins of runs that are over are withdrawn, but for those that stay until some time, and what these may lead to
    2  an object without pins is condemned: its meta says so
    3  one that was condemned a while ago is looked at once more: pinned by now, it is taken back; else its meta says "deleting"
    4  its chunks go, then its meta
    5  chunks without a meta, of uploads that were cut off in odd places, go after an hour

Why no put is ever lost. A put pins first, and then reads the meta, both at the stream's leader. Steps 2 and 3 are compare-and-set on the
meta's sequence, and between them the janitor asks the leader for pins. Take the moment at which a put reads the meta:

    before 2        it has pinned before, so step 3 sees the pin and takes the object back
    between 2 and 3 it reads "condemned" and takes the object back by compare-and-set. If it comes first, step 3 fails; else it reads
                    the meta again, which is the next case
    between 3 and 4 it reads "deleting": none of the chunks that it sees will stay. It finishes the deletion itself, and stores all anew
    after 4         there is nothing: it stores the object

A janitor that wakes up in step 4 when all this is long over deletes chunks that were stored before the "deleting" it has read, and that
one meta. What a put stored since has a higher sequence, or in a store outside lies under another upload's word. Step 5 marks an object
"deleting" by compare-and-set on there being no meta, and a put writes its meta before its first chunk: so one of them comes first.

How long "a while" is has nothing to do with being right: it only spares objects that are needed again soon.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from ...schemas.errors import JetfleetError, UsageError
from ..client import BrokerError, Connection, StreamFull
from ..payloads.run_states import family
from .chunks import Chunks, Place
from .deletion import delete, finish, place_of
from .meta import Found, Meta, Metas, names
from .pins import Pins, StoredPin
from .stream_chunks import StreamChunks

GRACE_S = 60.0
STRAY_S = 3_600.0
"""Longer than any upload is silent between two chunks."""
_LOOK_FOR_STRAYS_S = 600.0
"""Listing all chunks costs the server more than the rest of a sweep, and what it finds is in no hurry."""
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Swept:
    """How many pins were withdrawn, objects condemned, taken back, deleted, and remains of uploads deleted."""

    pins: int = 0
    condemned: int = 0
    taken_back: int = 0
    deleted: int = 0
    strays: int = 0


class Janitor:
    """`chunks`: as the object store's. `grace_s`: how long condemned objects stay. `clock`: seconds since the epoch."""

    def __init__(
        self,
        connection: Connection,
        chunks: Chunks | None = None,
        *,
        grace_s: float = GRACE_S,
        stray_s: float = STRAY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._metas, self._pins = Metas(connection), Pins(connection)
        self._stream: Chunks = StreamChunks(connection)
        self._external = chunks if chunks is not None and chunks.external else None
        self._grace_ms, self._stray_ms = int(grace_s * 1000), int(stray_s * 1000)
        self._clock = clock
        self._looked_s = float("-inf")

    async def sweep(self, is_over: Callable[[set[str]], Awaitable[set[str]]]) -> Swept:
        """Once through everything. `is_over` says which of these runs need nothing any more; in doubt it leaves one out.

        Raises the client's BrokerErrors; what was done by then is done. What else goes wrong with one object is logged, and others go on.
        """
        swept = Swept()
        pinned = await self._withdraw(is_over, swept)
        for found in await self._metas.all():
            try:
                await self._judge(found, found.meta.digest in pinned, swept)
            except StreamFull as error:  # deleting others makes room for it
                _log.warning("object_not_freed", object=found.name, error=str(error))
            except BrokerError:
                raise
            except JetfleetError as error:
                _log.warning("object_not_freed", object=found.name, error=str(error))
        if self._clock() - self._looked_s >= _LOOK_FOR_STRAYS_S:
            self._looked_s = self._clock()
            await self._remove_strays(swept)
        return swept

    # --- 1

    async def _withdraw(self, is_over: Callable[[set[str]], Awaitable[set[str]]], swept: Swept) -> set[str]:
        """Withdraw pins that are of no use any more; the digests that are pinned still."""
        pins, now_ms = await self._pins.all(), self._now_ms()
        # What stands inside a kept object was pinned by some run of the family, and only who reads the object knows which pins those are.
        kept = {family(each.pin.run) for each in pins if each.pin.nested and each.pin.until_ms > now_ms}
        due = {each.pin.run for each in pins if each.pin.until_ms <= now_ms and family(each.pin.run) not in kept}
        over = await is_over(due) if due else set()
        pinned = set()
        for each in pins:
            if each.pin.run in over and each.pin.until_ms <= now_ms:
                await self._withdraw_one(each, swept)
            else:
                pinned.add(each.digest)
        return pinned

    async def _withdraw_one(self, pin: StoredPin, swept: Swept) -> None:
        await self._pins.withdraw(pin)
        swept.pins += 1

    # --- 2, 3, 4

    async def _judge(self, found: Found, pinned: bool, swept: Swept) -> None:
        """`pinned` may be a moment old: enough to condemn by, not enough to delete."""
        if found.meta.fate == "deleting":
            await finish(self._metas, found, self._chunks_of)
            swept.deleted += 1
        elif found.meta.fate == "kept":
            swept.condemned += not pinned and await self._metas.change(found, fate="condemned")
        elif pinned or await self._pins.exist(found.meta.digest):
            swept.taken_back += await self._metas.change(found, fate="kept")
        elif self._now_ms() - found.time_ns // 1_000_000 >= self._grace_ms:
            swept.deleted += await delete(self._metas, found, self._chunks_of)

    # --- 5

    async def _remove_strays(self, swept: Swept) -> None:
        for chunks in (self._stream, self._external):
            if chunks is None:
                continue
            places = await chunks.places()  # before the metas: a put writes its meta before its first chunk
            metas = await self._metas.all()
            known, named = {place_of(each.name, each.meta) for each in metas}, names(metas)
            for place in places - known:
                if self._now_ms() - await chunks.newest_ms(place) >= self._stray_ms:
                    swept.strays += await self._remove_stray(chunks, place, place.name in named)

    async def _remove_stray(self, chunks: Chunks, place: Place, named: bool) -> bool:
        """`named`: an object of this name is there, but its chunks lie elsewhere."""
        if named and chunks.external:
            await chunks.delete(place, 0)  # no upload ever takes up this word again
            return True
        # The meta only leads the deletion to the chunks: what it says of their bytes does not matter.
        gone = Meta(place.name, 0, chunks.chunk_bytes, place.upload, chunks.external, fate="deleting")
        if not await self._metas.begin(place.name, gone):
            return False
        marked = await self._metas.read(place.name)
        if marked is not None and marked.meta.fate == "deleting":
            await finish(self._metas, marked, self._chunks_of)
        return True

    # --- what belongs to an object

    def _chunks_of(self, meta: Meta) -> Chunks:
        if not meta.external:
            return self._stream
        if self._external is None:
            raise UsageError("it lies in a store outside: set JETFLEET_OBJECTS for coordinators, too")
        return self._external

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
