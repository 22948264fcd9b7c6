"""Objects of the object store, found by the first characters of their digests."""

from __future__ import annotations

from ...schemas.errors import UsageError
from ...schemas.payload_errors import PayloadLost
from ..api.values import object_store
from ..client import Connection
from ..objects.meta import Meta, Metas
from .payload_place import ObjectPlace


async def the_object(connection: Connection, place: ObjectPlace) -> memoryview:
    """The bytes of the one object that is meant; what they are a value of is known only to the refs that name it.

    Raises UsageError if several are meant, PayloadLost if none is, PayloadCorrupt, BrokerError.
    """
    if place.path:
        raise UsageError(f"an object is bytes, and nothing stands at a path in them: say {place}, or the value as RUN:NODE")
    meta = await _meta(connection, place)
    body = bytearray()
    await object_store(connection).get(meta.digest, body.extend)
    return memoryview(body).toreadonly()


async def _meta(connection: Connection, place: ObjectPlace) -> Meta:
    found = [each.meta for each in await Metas(connection).all() if each.meta.digest.startswith(place.prefix)]
    plain = {meta.digest: meta for meta in found if not meta.key_check}
    if len(plain) > 1:
        raise UsageError(
            f"{place} means {len(plain)} objects: {', '.join(digest[:16] for digest in sorted(plain))}; give more of the digest"
        )
    if not plain and found:
        raise UsageError(f"{place} is encrypted, and only the refs that name it say with which key; say the value as RUN:NODE")
    if not plain:
        raise PayloadLost(f"there is no object {place} (any more)")
    return plain.popitem()[1]
