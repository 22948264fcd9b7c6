"""Finding a payload from what a person says of it, and getting its value: from the arena of this host, or through the object store.

Guarantees: an entry of this host's arena needs no server. What is named and not there is a typed error that says what else to try.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...schemas.errors import UsageError
from ...schemas.payload import Payload, decode, encode
from ...schemas.payload_errors import PayloadElsewhere, PayloadLost
from ...schemas.records import RunStarted
from ...schemas.ref import Ref
from ...schemas.selectors import path_text
from ...schemas.values import MISSING, get
from ..arena.folder import LIVE, Folder
from ..arena.settings import ArenaSettings
from ..arena.walk import SegmentWalk
from ..codecs.registry import codec_name
from ..credentials import Credentials
from ..payloads.plane import Plane
from .arena_folder import is_arena, open_folder
from .options import connect
from .payload_objects import the_object
from .payload_place import EntryPlace, ObjectPlace, OutputPlace, Place, path_in

if TYPE_CHECKING:
    from ..api import Client
    from ..run_result import RunResult

OUTPUT, TRIGGER = "output", "trigger"
_NESTING = ("msgpack", "list")
"""Codecs of values that may have refs in them."""
_PLAIN = ("msgpack", "text", "bytes", "buffer", "file", "image")


@dataclass(frozen=True, slots=True)
class Finder:
    """`arena`: the folder of this host's arena, which need not be there; `url` and `credentials`: of the fleet, where one is needed."""

    arena: Path
    url: str
    credentials: Credentials | None

    @asynccontextmanager
    async def value(self, place: Place) -> AsyncIterator[Any]:
        """The value, which may be a view of the arena: use it while the block runs. Large bytes are views too.

        Raises UsageError for what is not there, PayloadError, UnknownRun, BrokerError.
        """
        ref = self._entry_here(place) if isinstance(place, EntryPlace) else None
        if ref is not None:
            plane = Plane(ArenaSettings(self.arena))
            try:
                yield await _fetched(lambda value: plane.value(encode(value), raw=True), ref, place)
            finally:
                plane.close()
            return
        async with await connect(self.url, self.credentials, self.arena if is_arena(self.arena) else None) as client:
            yield await _fetched(lambda value: client.fetch(value, raw=True), await _named(client, place), place)

    def _entry_here(self, place: EntryPlace) -> Ref | None:
        """The ref of an entry of this host's arena; None if it is another host's. Raises PayloadLost."""
        if not is_arena(self.arena):
            return None
        with open_folder(self.arena) as folder:
            return _entry(folder, place) if folder.host == place.host else None


async def _fetched(fetch: Callable[[Any], Awaitable[Any]], named: Any, place: Place) -> Any:
    """What was named, read. A path that leads nowhere reads as null, so what stands around it is looked at. Raises UsageError."""
    value = await fetch(named)
    if value is None and isinstance(named, Ref) and named.path:
        around = await fetch(named.whole.at(named.path[:-1]))
        if codec_name(type(around)) in _PLAIN and get(around, named.path[-1:]) is MISSING:
            raise UsageError(f"there is nothing at `{path_text(named.path)}` in {named.whole}, which {place} leads to")
    return value


def _entry(folder: Folder, place: EntryPlace) -> Ref:
    fd = folder.open_file(place.segment + LIVE)
    if fd is not None:
        try:
            walk = SegmentWalk(fd)
            for entry in walk.entries():
                if (entry.generation, entry.offset) == (place.generation, place.offset):
                    return Ref(
                        entry.codec, entry.length, entry.crc, place.host, place.segment, entry.generation, entry.offset, entry.meta,
                        run=entry.run, path=place.path, nested=entry.codec in _NESTING,
                    )  # fmt: skip
        finally:
            os.close(fd)
    raise PayloadLost(f"{place} is not in the arena {folder.path} any more; `jetfleet arena ls` lists what is")


async def _named(client: Client, place: Place) -> Any:
    """What a place names, refs and all."""
    if isinstance(place, OutputPlace):
        return _at(await client.show(place.run), place)
    if isinstance(place, ObjectPlace):
        return await the_object(client.connection, place)
    raise PayloadElsewhere(
        f"{place} lies on host {place.host}, whose arena is not the one here; say it as RUN:NODE, and it is fetched, or run this there",
        Ref("", 0, 0, place.host, place.segment, place.generation, place.offset, path=place.path),
    )


def _at(result: RunResult, place: OutputPlace) -> Any:
    """The part of a run's outputs that is meant. Raises UsageError if there is none."""
    name, payload = _payload(result, place)
    path = path_in(place.inside[len(name) :], str(place))
    found = get(decode(payload), path)
    if found is MISSING:
        raise UsageError(f"there is nothing at `{path_text(path)}` in the output of {name} of run {result.run_id}")
    return found


def _payload(result: RunResult, place: OutputPlace) -> tuple[str, Payload]:
    """The node's key, `output` or `trigger`, and the payload of that. The longest key that fits: `charge[2]` may be a node's or a path."""
    outputs = {key: view.output for key, view in result.nodes().items()} | {OUTPUT: result.payload, TRIGGER: _event(result)}
    fitting = [key for key in outputs if re.match(re.escape(key) + r"(?=[.\[]|$)", place.inside)]
    if not fitting:
        raise UsageError(f"run {result.run_id} has no {place.inside!r}; it has: {', '.join(_shortened(outputs))}")
    name = max(fitting, key=len)
    payload = outputs[name]
    if payload is None or (name == OUTPUT and not result.completed):
        raise UsageError(
            f"{_who(name, result)} has no output; `jetfleet runs show {result.run_id}` says how far it is, and which nodes have one"
        )
    return name, payload


def _who(name: str, result: RunResult) -> str:
    return f"run {result.run_id}, which is {result.status}," if name == OUTPUT else f"{name} of run {result.run_id}"


def _shortened(keys: Iterable[str]) -> Iterator[str]:
    """Keys as a person reads them: of the thousand items of a split the first and the last."""
    for _, group in groupby(keys, key=lambda key: key.partition("[")[0]):
        first, *others = group
        yield first if not others else f"{first} … {others[-1]}" if len(others) > 1 else f"{first}, {others[0]}"


def _event(result: RunResult) -> Payload | None:
    """The payload of the event that began the run."""
    return next((record.payload for record in result.journal if isinstance(record, RunStarted)), None)
