"""Deletion: the end of an object whose meta says "deleting".

Chunks go first and the meta last: as long as there is the meta, whoever wants to put these bytes knows that what he sees of chunks will not
stay, and finishes the deletion himself. So an object without a meta has no chunks that somebody is still about to delete.

It can be carried out by several at a time, and by one who was stopped in the middle and goes on much later: it reaches chunks that were
stored before the meta said "deleting", and that meta, and nothing that was stored since.
"""

from __future__ import annotations

from collections.abc import Callable

from .chunks import Chunks, Place
from .meta import Found, Meta, Metas


def place_of(name: str, meta: Meta) -> Place:
    """Where its chunks are. In the stream all uploads of an object are one."""
    return Place(name, meta.upload if meta.external else "")


async def delete(metas: Metas, found: Found, chunks_of: Callable[[Meta], Chunks]) -> bool:
    """Delete an object that was found in some other state. False: it is no longer in that state, and stays."""
    if not await metas.change(found, fate="deleting"):
        return False
    marked = await metas.read(found.name)
    if marked is not None and marked.meta.fate == "deleting":
        await finish(metas, marked, chunks_of)
    return True


async def finish(metas: Metas, marked: Found, chunks_of: Callable[[Meta], Chunks]) -> None:
    """Carry out a deletion that the meta speaks of."""
    await chunks_of(marked.meta).delete(place_of(marked.name, marked.meta), marked.seq)
    await metas.purge(marked)
