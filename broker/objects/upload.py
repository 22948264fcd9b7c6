"""Upload: chunks of one object to where they lie, several on their way at a time.

What is on its way is bounded by bytes, whatever the object's length. A chunk that did not arrive is sent again as long as the
patience lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from .chunks import Chunks, Place
from .encryption import Cipher
from .meta import Meta
from .patience import Patience


class Upload:
    """`body`: all bytes of the object, one byte per item. They must not change until it is over. `sent_bytes`: what was stored so far."""

    def __init__(self, chunks: Chunks, place: Place, meta: Meta, body: memoryview, cipher: Cipher | None, patience: Patience) -> None:
        self._chunks, self._place, self._meta, self._body, self._cipher = chunks, place, meta, body, cipher
        self._patience = patience
        self.sent_bytes = 0

    async def send(self, numbers: Iterable[int]) -> None:
        """Store these chunks. Raises ObjectsFull, Unknown, ObjectsUnavailable; then some of them are stored."""
        waiting = iter(numbers)
        lanes = max(1, self._chunks.window_bytes // self._meta.chunk_bytes)
        senders = [asyncio.create_task(self._send_each(waiting)) for _ in range(lanes)]
        try:
            await asyncio.gather(*senders)
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)

    async def _send_each(self, waiting: Iterator[int]) -> None:
        for n in waiting:  # shared by all senders: each takes the next when it is done with one
            await self._send(n)

    async def _send(self, n: int) -> None:
        size = self._meta.chunk_bytes
        data = bytes(self._body[n * size : (n + 1) * size])
        if self._cipher is not None:
            data = await asyncio.to_thread(self._cipher.seal, n, data)
        await self._patience.insist(lambda: self._chunks.put(self._place, n, data))
        self.sent_bytes += len(data)
