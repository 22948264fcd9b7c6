"""Hosted values: what a client sends, with what is large in the arena of this host, where the workers beside it map it.

Guarantees: a value lies in the arena under the run that it is for, before the event that refers to it is published. Until that run begins
its owner does not know it, and what is of such a run is kept for hours (`payloads/run_states`); if the event is never published it goes
then.
Does not: free anything, or keep what must survive the host: a flow says so by its durability.
"""

from __future__ import annotations

from typing import Any

from ...schemas.flow.definition import Payloads
from ...schemas.payload import Payload
from ...schemas.ref import Ref
from ..codecs.opened import OpenedFile
from ..payloads.plane import Plane
from ..payloads.producer import Producer


def hosted(plane: Plane, value: Any, run: str, rules: Payloads) -> Payload:
    """The payload of a value for a run. Takes its time: call it in a thread.

    Raises UnencodableValue, UnknownCodec, FileChanged, ArenaFull, RunTooLarge, ArenaUnusable.
    """
    producer = Producer(run)
    return plane.encode(_with_files(plane, value, producer, rules), producer, rules)


def _with_files(plane: Plane, value: Any, producer: Producer, rules: Payloads) -> Any:
    """The value with its large files in the arena already: they go there piece by piece, so that none is in memory as a whole."""
    if isinstance(value, OpenedFile):
        return _written(plane, value, producer, rules) if value.nbytes > rules.inline_max_bytes else value
    if type(value) is dict:
        return {key: _with_files(plane, item, producer, rules) for key, item in value.items()}
    return value


def _written(plane: Plane, file: OpenedFile, producer: Producer, rules: Payloads) -> Ref:
    with plane.stream(producer, "file", file.nbytes) as writer:
        for piece in file.pieces():
            writer.write(piece)
        return plane.finished(writer, rules, file.name.encode())
