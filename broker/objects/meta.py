"""The meta of an object: what is known of it, in the one message on `object.meta.<name>`.

It is changed by compare-and-set on its sequence only, so of two who want to change it one finds that it is another by now. All that has
to be agreed on about an object is decided here; the message says which state the object is in:

    content    uploading ─▶ whole ─▶ broken (a reader found chunks missing or wrong; the next put stores them all anew) ─▶ whole
    fate       kept ⇄ condemned (nobody needed it) ─▶ deleting ─▶ no message

Each message is shorter than those before it in this order. A stream that is full refuses what is new, but it takes a message that is
shorter than the one it replaces: so what frees room can be written when there is none. (A cluster refuses that, too; there it takes the
room that chunks leave, see `stream_chunks.RESERVE_BYTES`.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.messages import FAILURES
from ...schemas.payload_errors import PayloadCorrupt
from ..client import Connection, StoredMessage, WrongSequence

Content: TypeAlias = Literal["uploading", "whole", "broken"]
Fate: TypeAlias = Literal["kept", "condemned", "deleting"]
_SPARE_BYTES = 64
"""More than headers and words of two messages about the same object can differ in length."""
_log = structlog.get_logger(__name__)


class Meta(msgspec.Struct, array_like=True, frozen=True):
    """`digest`: SHA-256 of the bytes that were put, in hex; `length` of them. `chunk_bytes`: of all chunks but the last, before encryption.

    `upload`: word of whoever began to store it; a store outside keeps the chunks under it. `external`: they lie in such a store.
    `key_check` tells the key that it is encrypted with from others, b"" for none. `spare` is there for its length.
    """

    digest: str
    length: int
    chunk_bytes: int
    upload: str
    external: bool = False
    key_check: bytes = b""
    content: Content = "uploading"
    fate: Fate = "kept"
    spare: bytes = b""

    @property
    def chunks(self) -> int:
        """How many there are; none of what is empty."""
        return -(-self.length // self.chunk_bytes)

    @property
    def is_readable(self) -> bool:
        return self.content == "whole" and self.fate != "deleting"


@dataclass(frozen=True, slots=True)
class Found:
    """A meta as it stands in the stream. `seq` 0: there is none. `time_ns`: when it was written, by the server's clock."""

    name: str
    seq: int
    time_ns: int
    meta: Meta


class Metas:
    """All metas of a deployment. Every method may raise the client's BrokerErrors."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def read(self, name: str) -> Found | None:
        """As the stream's leader has it. Raises PayloadCorrupt if it cannot be read."""
        stored = await self._connection.streams.last(subjects.OBJECTS, subjects.object_meta(name))
        return None if stored is None else _found(stored)

    async def all(self) -> list[Found]:
        """Possibly a moment old. What cannot be read is left out, and logged."""
        found = []
        for stored in await self._connection.streams.last_of_each(subjects.OBJECTS, subjects.object_meta("*")):
            try:
                found.append(_found(stored))
            except PayloadCorrupt as error:
                _log.error("object_meta_unreadable", subject=stored.subject, error=str(error))
        return found

    async def begin(self, name: str, meta: Meta) -> bool:
        """Write the first meta of an object. False: there is one already."""
        return await self._write(name, meta, 0)

    async def change(self, found: Found, **changes: Any) -> bool:
        """Change what was found. False: it is not what it was."""
        return await self._write(found.name, msgspec.structs.replace(found.meta, **changes), found.seq)

    async def purge(self, found: Found) -> None:
        """Remove what was found, and nothing that was written since."""
        await self._connection.streams.purge(subjects.OBJECTS, subject=subjects.object_meta(found.name), seq=found.seq + 1)

    async def _write(self, name: str, meta: Meta, expected_seq: int) -> bool:
        body = msgspec.msgpack.encode(msgspec.structs.replace(meta, spare=bytes(_SPARE_BYTES * _room(meta))))
        try:
            await self._connection.publisher.publish(subjects.object_meta(name), body, expect_last_subject_seq=expected_seq)
        except WrongSequence:
            return False
        return True


def names(found: Iterable[Found]) -> set[str]:
    return {each.name for each in found}


def _room(meta: Meta) -> int:
    if meta.fate != "kept":
        return 1 if meta.fate == "condemned" else 0
    return 3 if meta.content == "uploading" else 2


def _found(stored: StoredMessage) -> Found:
    name = stored.subject.rpartition(".")[2]
    try:
        meta = _decode(stored.data)
    except FAILURES as error:
        raise PayloadCorrupt(f"the meta of object {name[:12]} cannot be read: {error}") from None
    if meta.length < 0 or meta.chunk_bytes < 1:
        raise PayloadCorrupt(f"the meta of object {name[:12]} says {meta.length} bytes in chunks of {meta.chunk_bytes}")
    return Found(name, stored.seq, stored.time_ns, meta)


_decode = msgspec.msgpack.Decoder(Meta).decode
