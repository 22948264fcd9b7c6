"""Values of a client: those that lie elsewhere are fetched, those that are too large for a message are stored before they are sent.

A client that shares a host with workers may name their arena, and gets views of it without a copy; what it sends goes there too, where the
flow allows that and there is room. Any other gets the bytes through the object store, into its own memory; what lies in an arena only is
uploaded by that host on demand.
"""

from __future__ import annotations

import asyncio
import dataclasses
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from ...schemas.flow.definition import Payloads
from ...schemas.payload import Payload, encode, refs_in
from ...schemas.payload_errors import ArenaFull, ArenaUnusable, RunTooLarge
from ...schemas.ref import may_hold_extension
from ..client import Connection
from ..payloads.layout import small_payload
from ..run_result import Opened
from .result import Result

if TYPE_CHECKING:  # loaded when they are first needed: most commands never need them
    from ..objects.store import ObjectStore
    from ..payloads.holder import Holder
    from ..payloads.plane import Plane
    from ..payloads.remote import Holders
    from .outgoing import Outgoing

SMALL_BYTES = 1 << 10
log = structlog.get_logger("jetfleet.payloads")


class Values:
    """`arena`: the folder of this host's arena, None to do without. Nothing is opened before the first value needs it; a folder that is
    no arena by then is left alone, as nobody would ever free what a client put there.
    """

    def __init__(self, connection: Connection, arena: Path | None) -> None:
        self._connection = connection
        self._folder = arena
        self._mapped: Plane | None = None
        self._holder: Holder | None = None

    async def close(self) -> None:
        if self._holder is not None:
            await self._holder.stop()
        if self._mapped is not None:
            self._mapped.close()

    async def fetch(self, value: Any, *, raw: bool = False) -> Any:
        """A value with everything in it that lies elsewhere in its place. Raises PayloadError, BrokerError."""
        return await self._plane().value(encode(value), raw=raw)

    async def with_output(self, result: Result) -> Result:
        """The result with its output fetched; itself where there is nothing to fetch. Raises as `fetch`."""
        if not may_hold_extension(result.payload):
            return result
        return dataclasses.replace(result, opened=Opened(await self._plane().value(result.payload)))

    async def outgoing(self, value: Any, run: str, rules: Payloads) -> Payload:
        """The payload of a value for a run, with what is large in this host's arena or the object store, and in the store what other
        runs' values it refers to: those runs may end any time. Raises as `Outgoing.payload`, and PayloadLost or PayloadCorrupt for refs.
        """
        payload = small_payload(value, rules.inline_max_bytes)
        if payload is None and rules.durability == "host":
            payload = await self._in_arena(value, run, rules)
        if payload is None:
            payload = await self._outgoing.payload(value, run, rules)
        foreign = [ref for ref in refs_in(payload) if ref.run != run]
        if any(ref.nested for ref in foreign):  # those inside would have to be written anew: so it is stored as any other value
            return await self._outgoing.payload(await self._plane().value(payload), run, rules)
        if foreign:
            plane = self._plane()
            await plane.here(foreign)
            payload = await plane.durable(payload, run)
        return payload

    async def _in_arena(self, value: Any, run: str, rules: Payloads) -> Payload | None:
        """None: there is no arena here, or no room in it. Then the object store has to do."""
        plane = self._plane()
        if plane.settings is None:
            return None
        from .hosted import hosted

        try:
            payload = await asyncio.to_thread(hosted, plane, value, run, rules)
        except (ArenaFull, RunTooLarge, ArenaUnusable) as error:
            log.info("a large value goes into the object store", run=run, code=error.code, reason=str(error))
            return None
        await self._answer_for(plane)
        return payload

    async def _answer_for(self, plane: Plane) -> None:
        """Other hosts may ask for what was written here, and the workers of this one may be gone by then."""
        if self._holder is None:
            from ..payloads.holder import Holder

            holder = self._holder = Holder(self._connection, plane)
            try:
                await holder.start()
            except BaseException:
                self._holder = None
                raise

    def _plane(self) -> Plane:
        """The payload plane for one value: of the arena, if there is one. Else what it brings is in memory, which goes with it."""
        if self._mapped is None:
            from ..arena.folder import ID
            from ..arena.settings import ArenaSettings
            from ..payloads.plane import Plane

            folder = self._folder
            if folder is None or not (folder / ID).is_file():
                return Plane(None, self._objects, self._holders)
            self._mapped = Plane(ArenaSettings(folder), self._objects, self._holders)
        return self._mapped

    @cached_property
    def _holders(self) -> Holders:
        from ..payloads.remote import Holders

        return Holders(self._connection)

    @cached_property
    def _outgoing(self) -> Outgoing:
        from .outgoing import Outgoing

        return Outgoing(self._objects)

    @cached_property
    def _objects(self) -> ObjectStore:
        return object_store(self._connection)


def object_store(connection: Connection) -> ObjectStore:
    """The object store of a deployment, with the chunks where JETFLEET_OBJECTS says. Raises UsageError for a url that is none."""
    from ..objects.opening import open_store

    return open_store(connection)


def is_small(value: Any) -> bool:
    """Whether a value travels inside messages as it is, whatever the flow says: no ref, nothing that takes a codec, a KiB at most."""
    payload = small_payload(value, SMALL_BYTES)
    return payload is not None and not refs_in(payload)
