"""Chunks in the stream OBJECTS: one message each, on `object.chunk.<name>.<n>`.

Two uploads of the same object write the same bytes to the same subjects, so one goes on where the other ended. Deleting reaches up to a
sequence: chunks that were stored since then, by somebody who stores the object anew, stay.
"""

from __future__ import annotations

from ...schemas import subjects
from ...schemas.sizes import size_text
from ..client import Connection, Message, NotFound, Refused, StreamFull
from .chunks import MIB, Place

CHUNK_BYTES = 512 << 10
"""Half of what any server takes in one message; larger ones are not faster."""
WINDOW_BYTES = 8 * MIB
ANSWER_S = 5.0
RESERVE_BYTES = 4 * MIB
"""Left free by chunks, where the stream is not tiny, for pins and for what the janitor has to write before it can free anything: a cluster
refuses everything once a stream is full."""
_NOT_FOUND = 404


class StreamChunks:
    """See Chunks."""

    chunk_bytes = CHUNK_BYTES
    window_bytes = WINDOW_BYTES
    external = False

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def check_room(self, size_bytes: int) -> None:
        info = await self._connection.streams.stream_info(subjects.OBJECTS)
        if info is None:
            raise NotFound(f"there is no stream {subjects.OBJECTS}; deploy the topology", status=404)
        limit, used = int(info["config"]["max_bytes"]), int(info["state"]["bytes"])
        if limit > 0 and used + size_bytes > limit - min(RESERVE_BYTES, limit // 16):
            raise StreamFull(
                f"{size_text(size_bytes)} more have no room in stream {subjects.OBJECTS}, which has {size_text(used)} of {size_text(limit)}"
            )

    async def put(self, place: Place, n: int, data: bytes) -> None:
        await self._connection.publisher.publish(subjects.object_chunk(place.name, n), data)

    async def get(self, place: Place, n: int) -> bytes | None:
        subject = subjects.object_chunk(place.name, n)
        answer = await self._connection.request(f"$JS.API.DIRECT.GET.{subjects.OBJECTS}.{subject}", timeout_s=ANSWER_S)
        if not answer.status:
            return answer.data
        if answer.status != _NOT_FOUND:
            raise _refused(subject, answer)
        # Any replica may have answered, also one that is behind: whether a chunk is lost only the leader can say.
        stored = await self._connection.streams.last(subjects.OBJECTS, subject)
        return None if stored is None else stored.data

    async def missing(self, place: Place, count: int) -> list[int]:
        present = await self._connection.streams.subjects(subjects.OBJECTS, subjects.object_chunk(place.name, "*"))
        numbers = {subject.rpartition(".")[2] for subject in present}
        return [n for n in range(count) if str(n) not in numbers]

    async def delete(self, place: Place, until_seq: int) -> None:
        subject = subjects.object_chunk(place.name, "*")
        await self._connection.streams.purge(subjects.OBJECTS, subject=subject, seq=until_seq + 1)

    async def places(self) -> set[Place]:
        present = await self._connection.streams.subjects(subjects.OBJECTS, subjects.object_chunk("*", "*"))
        return {Place(subject.split(".")[2], "") for subject in present}

    async def newest_ms(self, place: Place) -> int:
        stored = await self._connection.streams.last(subjects.OBJECTS, subjects.object_chunk(place.name, "*"))
        return 0 if stored is None else stored.time_ns // 1_000_000


def _refused(subject: str, answer: Message) -> Refused:
    return Refused(f"{subject}: {answer.status_text}; try again", status=answer.status, description=answer.status_text)
