"""Download: the bytes of one object in their order, with several chunks on their way at a time.

Guarantees: when it ends without an error, exactly the bytes were handed over that were put: SHA-256 says so. Until then they are bytes that
nobody vouches for. Each is handed over once, also when chunks have to be asked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections import deque
from collections.abc import AsyncGenerator, Callable

from ...schemas.payload_errors import PayloadCorrupt, PayloadLost
from .chunks import Chunks, Place
from .encryption import Cipher
from .meta import Meta
from .patience import Patience


class Download:
    """Of the object at a place; `meta` says what it should be."""

    def __init__(self, chunks: Chunks, place: Place, meta: Meta, cipher: Cipher | None, patience: Patience) -> None:
        self._chunks, self._place, self._meta, self._cipher, self._patience = chunks, place, meta, cipher, patience

    async def receive(self, into: Callable[[memoryview], None]) -> None:
        """Hand each chunk to `into`. Raises PayloadLost, PayloadCorrupt, Unknown, ObjectsUnavailable."""
        digest = hashlib.sha256()
        async with contextlib.aclosing(self._in_order()) as chunks:  # else those on their way go on when `into` raises
            async for data in chunks:
                digesting = asyncio.create_task(asyncio.to_thread(digest.update, data))
                try:
                    into(memoryview(data))
                finally:
                    await digesting
        if digest.hexdigest() != self._meta.digest:
            raise PayloadCorrupt(f"the bytes of object {self._place.name[:12]} are not those that were put")

    async def _in_order(self) -> AsyncGenerator[bytes, None]:
        lanes = max(1, self._chunks.window_bytes // self._meta.chunk_bytes)
        asked: deque[asyncio.Task[bytes]] = deque()
        try:
            for n in range(self._meta.chunks):
                asked.append(asyncio.create_task(self._chunk(n)))
                if len(asked) == lanes:
                    yield await asked.popleft()
            while asked:
                yield await asked.popleft()
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    async def _chunk(self, n: int) -> bytes:
        data = await self._patience.insist(lambda: self._chunks.get(self._place, n))
        if data is None:
            raise PayloadLost(f"chunk {n} of object {self._place.name[:12]} is not there any more")
        if self._cipher is not None:
            data = await asyncio.to_thread(self._cipher.open, n, data)
        if len(data) != self._length(n):
            raise PayloadCorrupt(f"chunk {n} of object {self._place.name[:12]} has {len(data)} bytes instead of {self._length(n)}")
        return data

    def _length(self, n: int) -> int:
        return min(self._meta.chunk_bytes, self._meta.length - n * self._meta.chunk_bytes)
