"""Chunks in a store outside of NATS, through obstore (extra `objects`): `s3://bucket/prefix`, `gs://…`, `az://…`, `file:///path`, `memory://`.

Each chunk is an object `<name>/<upload>/<n>` there, larger than in the stream since each costs a request. Every upload that begins anew
has a word of its own, so that deleting one never reaches the chunks of another. Credentials are those of the environment, as obstore
documents them for each kind of store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from ...schemas.errors import UsageError
from ...schemas.payload_errors import ObjectsUnavailable
from .chunks import MIB, Place
from .patience import PATIENCE_S

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK_BYTES, WINDOW_BYTES = 8 * MIB, 64 * MIB
_CHUNK = re.compile(r"(?P<name>[0-9a-f]{64})/(?P<upload>[0-9a-f]{16})/[0-9]+", re.ASCII)
"""What a chunk's path looks like. Others may keep things in the same bucket or folder, which the janitor must never take for remains."""

Value = TypeVar("Value")


class ExternalChunks:
    """See Chunks."""

    chunk_bytes = CHUNK_BYTES
    window_bytes = WINDOW_BYTES
    external = True

    def __init__(self, url: str) -> None:
        """Raises UsageError for a url that is none, or where obstore is missing."""
        self._shown = _without_secrets(url)
        self._store = _open(url, self._shown)

    async def check_room(self, size_bytes: int) -> None:
        """Such a store does not say how much room it has."""

    async def put(self, place: Place, n: int, data: bytes) -> None:
        await self._do(self._store.put_async(_path(place, n), data, use_multipart=False))

    async def get(self, place: Place, n: int) -> bytes | None:
        try:
            found = await self._do(self._store.get_async(_path(place, n)))
            return bytes(await self._do(found.bytes_async()))
        except FileNotFoundError:
            await self._listed(_path(place))  # raises if there is no such bucket: then nothing is lost, and nobody must take it for that
            return None

    async def missing(self, place: Place, count: int) -> list[int]:
        present = {path for path, _ in await self._listed(_path(place))}
        return [n for n in range(count) if _path(place, n) not in present]

    async def delete(self, place: Place, until_seq: int) -> None:
        for path, _ in await self._listed(_path(place)):
            if not _CHUNK.fullmatch(path):
                continue
            try:
                await self._do(self._store.delete_async(path))
            except FileNotFoundError:  # somebody else is at it, too
                continue

    async def places(self) -> set[Place]:
        found = (_CHUNK.fullmatch(path) for path, _ in await self._listed(None))
        return {Place(chunk["name"], chunk["upload"]) for chunk in found if chunk}

    async def newest_ms(self, place: Place) -> int:
        return max((changed_ms for _, changed_ms in await self._listed(_path(place))), default=0)

    async def _listed(self, prefix: str | None) -> list[tuple[str, int]]:
        """Paths, and when they were written in ms since the epoch."""
        found = await self._do(self._store.list(prefix).collect_async())
        return [(each["path"], int(each["last_modified"].timestamp() * 1000)) for each in found]

    async def _do(self, doing: Awaitable[Value]) -> Value:
        """Raises FileNotFoundError, and ObjectsUnavailable for anything else that the store says."""
        from obstore.exceptions import BaseError

        try:
            return await doing
        except FileNotFoundError:
            raise
        except (BaseError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise ObjectsUnavailable(
                f"the store {self._shown} does not do what it is asked: {reason}; "
                "check JETFLEET_OBJECTS, and the credentials in the environment"
            ) from None


def _path(place: Place, n: int | None = None) -> str:
    folder = f"{place.name}/{place.upload}"
    return folder if n is None else f"{folder}/{n}"


def _open(url: str, shown: str) -> ObjectStore:
    try:
        from obstore.exceptions import BaseError
        from obstore.store import from_url
    except ImportError:
        raise UsageError(f"payloads in {shown} need a library: pip install 'jetfleet[objects]'") from None
    try:
        if url.startswith("file:///"):  # like an arena, not for others to look into
            os.makedirs(unquote(urlsplit(url).path), mode=0o700, exist_ok=True)
        return from_url(url, retry_config={"retry_timeout": timedelta(seconds=PATIENCE_S)})
    except (BaseError, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0] if shown == url else "the library refuses it"  # it would say the whole url
        raise UsageError(f"JETFLEET_OBJECTS={shown} cannot be used: {reason}. Write s3://bucket/prefix or file:///path") from None


def _without_secrets(url: str) -> str:
    """The url as it may be shown: without what stands before an @, and without its query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
