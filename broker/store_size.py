"""The size of the server's store: how much of it a deployment may plan with.

JetStream reserves what a stream may grow to, and refuses the stream that no longer fits; but it does not say how much it has. So it
is asked for less and less, with a stream that is deleted at once.
"""

from __future__ import annotations

from ..schemas.errors import JetfleetError
from .client import Connection, StreamFull
from .topology import PROBE, STORE_BYTES_MIN

_TRIED_FIRST_BYTES = 64 << 30


class StoreTooSmall(JetfleetError):
    """The server's store, on disk or in memory, has no room for the streams."""

    code = "STORE_TOO_SMALL"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"the server's store is too small: {what}. Give it more (`jetfleet server --max-store`, or `max_file_store` and "
            "`max_memory_store` in its configuration), or ask for a smaller one"
        )


async def what_fits(connection: Connection, replicas: int, asked_bytes: int | None = None) -> int:
    """The bytes that were asked for, or the most that the server grants. Raises StoreTooSmall, BrokerError."""
    if asked_bytes is not None:
        if not await _fits(connection, replicas, asked_bytes):
            raise StoreTooSmall(f"{asked_bytes} bytes were asked for")
        return asked_bytes
    size_bytes = _TRIED_FIRST_BYTES
    while not await _fits(connection, replicas, size_bytes):
        size_bytes //= 2
        if size_bytes < STORE_BYTES_MIN:
            raise StoreTooSmall("less than 256 MiB are free")
    return size_bytes


async def _fits(connection: Connection, replicas: int, size_bytes: int) -> bool:
    config = {"name": PROBE, "subjects": ["probe"], "storage": "file", "max_bytes": size_bytes, "num_replicas": replicas}
    try:
        await connection.streams.create_or_update_stream(config)
    except StreamFull:
        return False
    await connection.streams.delete_stream(PROBE)
    return True
