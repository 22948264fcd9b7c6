"""Where chunks lie: what the object store asks of such a place. Chunks are bytes with a number; what they mean is said by the meta."""

from __future__ import annotations

from typing import NamedTuple, Protocol

MIB = 1 << 20


class Place(NamedTuple):
    """Where the chunks of one object are: under its name, and the word of the upload ("": the place does not tell uploads apart)."""

    name: str
    upload: str


class Chunks(Protocol):
    """`chunk_bytes`: how large new chunks are. `window_bytes`: how many bytes may be on their way at a time, of one object.

    `external`: whether it is a store outside of NATS. Methods raise the client's BrokerErrors or ObjectsUnavailable.
    """

    chunk_bytes: int
    window_bytes: int
    external: bool

    async def check_room(self, size_bytes: int) -> None:
        """Raises StreamFull if so much more has no room; others may be asking for the same room."""

    async def put(self, place: Place, n: int, data: bytes) -> None:
        """Returns when it is stored. The same chunk may be put again, also by two at a time."""

    async def get(self, place: Place, n: int) -> bytes | None:
        """None: there is no such chunk."""

    async def missing(self, place: Place, count: int) -> list[int]:
        """Which of the chunks 0 … count - 1 are not there."""

    async def delete(self, place: Place, until_seq: int) -> None:
        """Delete the object's chunks: those of the upload, or those that were stored up to a sequence of the stream."""

    async def places(self) -> set[Place]:
        """All places with chunks."""

    async def newest_ms(self, place: Place) -> int:
        """When something was put there last, in ms since the epoch; 0: nothing is there."""
