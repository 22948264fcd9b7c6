"""Download: the bytes of one object in their order, with several chunks on their way at a time.

Guarantees: when it ends without an error, exactly the bytes were handed over that were put: SHA-256 says so. Until then they are bytes that
nobody vouches for. Each is handed over once, also when chunks have to be asked for again. When it ends, in whatever way, `into` is not
being called any more.

What arrives is decrypted, hashed and handed over in a thread, while the event loop takes in what comes next.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable
from functools import partial
from itertools import islice

from ...schemas.payload_errors import PayloadCorrupt, PayloadLost
from .chunks import Chunks, Place
from .encryption import Cipher
from .meta import Meta
from .patience import Patience


class Download:
    """Of the object at a place; `meta` says what it should be."""

    def __init__(self, chunks: Chunks, place: Place, meta: Meta, cipher: Cipher | None, patience: Patience) -> None:
        self._chunks, self._place, self._meta, self._cipher, self._patience = chunks, place, meta, cipher, patience
        self._digest = hashlib.sha256()

    async def receive(self, into: Callable[[memoryview], object]) -> None:
        """Hand each chunk to `into`, in a thread. Raises PayloadLost, PayloadCorrupt, Unknown, ObjectsUnavailable."""
        async with contextlib.aclosing(self._in_order()) as arrivals:  # else those on their way go on when `into` raises
            async for arrived in arrivals:
                await _in_thread(partial(self._take, arrived, into))
        if self._digest.hexdigest() != self._meta.digest:
            raise PayloadCorrupt(f"the bytes of object {self._place.name[:12]} are not those that were put")

    def _take(self, arrived: list[tuple[int, bytes]], into: Callable[[memoryview], object]) -> None:
        for n, data in arrived:
            opened = data if self._cipher is None else self._cipher.open(n, data)
            if len(opened) != self._length(n):
                raise PayloadCorrupt(f"chunk {n} of object {self._place.name[:12]} has {len(opened)} bytes instead of {self._length(n)}")
            self._digest.update(opened)
            into(memoryview(opened))

    async def _in_order(self) -> AsyncGenerator[list[tuple[int, bytes]], None]:
        """The chunks with their numbers, as many at once as are there: each turn of the thread costs as much as hashing a chunk."""
        lanes = max(1, self._chunks.window_bytes // self._meta.chunk_bytes)
        numbers = iter(range(self._meta.chunks))
        asked = deque(map(self._ask, islice(numbers, lanes)))
        try:
            while asked:
                arrived = [await asked.popleft()]
                while asked and asked[0].done():
                    arrived.append(await asked.popleft())
                asked.extend(map(self._ask, islice(numbers, lanes - len(asked))))
                yield arrived
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    def _ask(self, n: int) -> asyncio.Task[tuple[int, bytes]]:
        return asyncio.create_task(self._chunk(n))

    async def _chunk(self, n: int) -> tuple[int, bytes]:
        data = await self._patience.insist(lambda: self._chunks.get(self._place, n))
        if data is None:
            raise PayloadLost(f"chunk {n} of object {self._place.name[:12]} is not there any more")
        return n, data

    def _length(self, n: int) -> int:
        return min(self._meta.chunk_bytes, self._meta.length - n * self._meta.chunk_bytes)


async def _in_thread(work: Callable[[], None]) -> None:
    """Do the work in a thread. Whoever is cancelled meanwhile still waits for its end: the memory that it writes to is used again then."""
    working = asyncio.get_running_loop().run_in_executor(None, work)
    cancelled: asyncio.CancelledError | None = None
    while not working.done():
        try:
            await asyncio.wait([working])
        except asyncio.CancelledError as error:
            cancelled = error
    failure = working.exception()  # looked at in any case, or asyncio complains of it
    if cancelled is not None:
        raise cancelled
    if failure is not None:
        raise failure
