"""Coordinators that purge their WALs a little late, so that a recorder that was cut off for a moment misses nothing of what it records."""

from __future__ import annotations

from typing import Any

from jetfleet.broker.client.streams import Streams

KEPT = 500
"""Messages behind a snapshot that stay."""
WAL = "WAL_"


def wrap() -> None:
    purge = Streams.purge

    async def purging(streams: Streams, stream: str, *, seq: int | None = None, **options: Any) -> int:
        if seq is not None and stream.startswith(WAL):
            seq = max(seq - KEPT, 1)
        return await purge(streams, stream, seq=seq, **options)

    patched: Any = Streams
    patched.purge = purging
