"""The object store: bytes put once, under their SHA-256, and read anywhere.

    put    pins, so that what happens from now on happens to an object that is needed; then looks what is there:
             whole      done: the same bytes were put before
             nothing    begins (meta "uploading"), stores chunks, says "whole"
             uploading  goes on, whoever began: only chunks that are missing
             broken     stores all chunks anew
             condemned  takes it back
             deleting   finishes the deletion, and looks again
    get    chunks in order, checked at the end. One that finds a hole or other bytes says "broken", so that the next put repairs it

Whoever changes the state does so by compare-and-set, and looks again if it was another by then. So puts of the same bytes may run at
a time, be cut off anywhere and go on elsewhere, beside a janitor that may have been stopped for an hour between any two of its steps.

The digest has to be known before the first chunk has a name: a put hashes first, in a thread, and sends then.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import secrets
from collections.abc import Callable, Collection

from ...schemas.errors import UsageError
from ...schemas.payload_errors import KeyMissing, ObjectsFull, PayloadCorrupt, PayloadLost
from ..client import BrokerError, Connection
from .chunks import Chunks
from .deletion import delete, finish, place_of
from .download import Download
from .encryption import Cipher, Keys, object_name
from .meta import Found, Meta, Metas
from .patience import PATIENCE_S, Patience
from .pins import Pins
from .stream_chunks import StreamChunks
from .upload import Upload


class ObjectStore:
    """`chunks`: where new objects go; None: into the stream. `patience_s`: how long a put or get goes on without anything moving."""

    def __init__(
        self, connection: Connection, chunks: Chunks | None = None, keys: Keys | None = None, *, patience_s: float = PATIENCE_S
    ) -> None:
        self._metas, self._pins = Metas(connection), Pins(connection)
        self._chunks: Chunks = chunks or StreamChunks(connection)
        self._stream: Chunks = StreamChunks(connection) if self._chunks.external else self._chunks
        self._keys = keys or Keys()
        self._patience_s = patience_s

    async def put(self, body: memoryview, *, run: str, key: str = "", sent: Callable[[int], None] = lambda count: None) -> str:
        """Store the bytes, encrypted where `key` names one, for as long as the run needs them. Their SHA-256 in hex; when this returns
        they are stored. `body` must not change meanwhile. `sent` is told how many bytes left, also of a put that fails: none where they
        are there already.

        Raises ObjectsFull, ObjectsUnavailable, KeyMissing, UsageError, and the client's BrokerErrors (Unknown: put it again).
        """
        body = body.cast("B") if body.format != "B" or body.ndim != 1 else body
        digest = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
        wanted = self._wanted(digest, len(body), key)
        patience = Patience(self._patience_s)
        await patience.insist(lambda: self._pins.add(run, digest))
        while not await self._advance(object_name(digest, key), wanted, body, key, patience, sent):
            pass
        return digest

    async def get(self, digest: str, into: Callable[[memoryview], object], *, key: str = "") -> None:
        """Hand the bytes to `into` in a thread, piece by piece and in order. They are right if this returns; forget them if it raises.

        Raises PayloadLost, PayloadCorrupt, KeyMissing, ObjectsUnavailable, UsageError, and the client's BrokerErrors.
        """
        patience = Patience(self._patience_s)
        name = object_name(digest, key)
        found = await patience.insist(lambda: self._metas.read(name))
        if found is None or found.meta.fate == "deleting":
            raise PayloadLost(f"there is no object {digest[:12]} (any more)")
        meta = found.meta
        if meta.digest != digest:  # else what is received would be compared with the wrong one
            raise PayloadCorrupt(f"the meta of object {name[:12]} is that of another object")
        cipher = self._cipher(meta, key)
        download = Download(self._chunks_of(meta), place_of(name, meta), meta, cipher, patience)
        try:
            await download.receive(into)
        except PayloadLost as error:
            if meta.content == "uploading":
                raise PayloadLost(f"object {digest[:12]} was never stored as a whole: whoever began has not finished") from error
            with contextlib.suppress(BrokerError):
                await self._metas.change(found, content="broken")
            raise

    async def size(self, digest: str, *, key: str = "") -> int | None:
        """How many bytes it has; None: there is no such object, or not all of it."""
        found = await Patience(self._patience_s).insist(lambda: self._metas.read(object_name(digest, key)))
        return found.meta.length if found is not None and found.meta.is_readable else None

    async def pin(self, run: str, digest: str, *, key: str = "") -> None:
        """Keep an object that is there for a run. Returns when nothing can take it away any more.

        Raises PayloadLost if it is not there, and the client's BrokerErrors.
        """
        patience = Patience(self._patience_s)
        await patience.insist(lambda: self._pins.add(run, digest))
        kept = False
        while not kept:
            found = await patience.insist(lambda: self._metas.read(object_name(digest, key)))
            if found is None or not found.meta.is_readable:
                raise PayloadLost(f"there is no object {digest[:12]} (any more)")
            kept = found.meta.fate == "kept" or await self._change(found, patience, fate="kept")

    async def unpin(self, run: str, keep: Collection[str] = ()) -> None:
        """The run needs none of its objects any more but those with these digests. Raises the client's BrokerErrors."""
        await Patience(self._patience_s).insist(lambda: self._pins.remove(run, keep))

    # --- one step of a put

    async def _advance(self, name: str, wanted: Meta, body: memoryview, key: str, patience: Patience, sent: Callable[[int], None]) -> bool:
        """Look what is there, and do what follows from it. Whether the object is whole now; if not, look again."""
        found = await patience.insist(lambda: self._metas.read(name))
        if found is None:
            await patience.insist(lambda: self._metas.begin(name, wanted))
            return False
        _same_key(found.meta, wanted, key)
        if found.meta.fate == "deleting":
            await patience.insist(lambda: finish(self._metas, found, self._chunks_of))
            return False
        if found.meta.fate == "condemned":
            return await self._change(found, patience, fate="kept") and found.meta.content == "whole"
        return found.meta.content == "whole" or await self._store(found, wanted, body, key, patience, sent)

    async def _store(self, found: Found, wanted: Meta, body: memoryview, key: str, patience: Patience, sent: Callable[[int], None]) -> bool:
        """Store what is missing and say that it is whole. False: the object changed its state meanwhile."""
        meta, place = found.meta, place_of(found.name, found.meta)
        chunks = self._chunks_of(meta)
        upload = Upload(chunks, place, meta, body, self._cipher(meta, key), patience)
        try:
            if meta.content == "broken":
                numbers = list(range(meta.chunks))
            else:
                numbers = await patience.insist(lambda: chunks.missing(place, meta.chunks))
            await patience.insist(lambda: chunks.check_room(min(len(numbers) * meta.chunk_bytes, meta.length)))
            await upload.send(numbers)
            return await self._change(found, patience, content="whole")
        except ObjectsFull:
            if meta.upload == wanted.upload:  # begun here: give back the room that a part takes, or two that wait for it wait for ever
                with contextlib.suppress(BrokerError):
                    await delete(self._metas, found, self._chunks_of)
            raise
        finally:
            sent(upload.sent_bytes)

    async def _change(self, found: Found, patience: Patience, **changes: str) -> bool:
        return await patience.insist(lambda: self._metas.change(found, **changes))

    # --- what belongs to an object

    def _wanted(self, digest: str, length: int, key: str) -> Meta:
        """The meta with which a new object begins."""
        check = self._keys.check(key) if key else b""
        return Meta(digest, length, self._chunks.chunk_bytes, secrets.token_hex(8), self._chunks.external, check)

    def _cipher(self, meta: Meta, key: str) -> Cipher | None:
        if not key:
            return None
        if self._keys.check(key) != meta.key_check:
            raise KeyMissing(f"the key {key!r} of this process is not the one that object {meta.digest[:12]} is encrypted with")
        return self._keys.cipher(key, meta.digest, meta.length, meta.chunk_bytes)

    def _chunks_of(self, meta: Meta) -> Chunks:
        if not meta.external:
            return self._stream
        if not self._chunks.external:
            raise UsageError(f"object {meta.digest[:12]} lies in a store outside: set JETFLEET_OBJECTS as on the other hosts")
        return self._chunks


def _same_key(found: Meta, wanted: Meta, key: str) -> None:
    if found.key_check != wanted.key_check:
        raise KeyMissing(
            f"the key {key!r} of this process is not the one that object {found.digest[:12]} was encrypted with before: "
            "a new key needs a new name"
        )
