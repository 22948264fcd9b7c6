"""Collected payloads: what the records of a run refer to, on its way into a file."""

from __future__ import annotations

from collections.abc import Sequence

from ...schemas.payload import refs_in
from ...schemas.payload_errors import PayloadError
from ...schemas.records import Record
from ...schemas.ref import Ref
from ..client import BrokerError, Connection
from ..objects.store import ObjectStore
from ..payloads.plane import Plane
from ..payloads.remote import Holders
from .manifest import LostPart, Place
from .moored import payloads_of, place_of
from .writing import JetrunWriter


class Collector:
    """The payloads of an export. A value that cannot be had is told once, and so is a host that does not answer."""

    def __init__(self, writer: JetrunWriter, connection: Connection, objects: ObjectStore, decrypt: bool) -> None:
        self._writer, self._decrypt = writer, decrypt
        self._plane = Plane(None, objects, Holders(connection))
        self._seen: set[Place] = set()
        self._silent: dict[str, str] = {}

    async def take(self, run: str, record: Record) -> None:
        """What the payloads of a record of this run refer to."""
        for payload in payloads_of(record):
            await self._refs(run, refs_in(payload))

    async def _refs(self, run: str, refs: Sequence[Ref]) -> None:
        for ref in refs:
            if place_of(ref) not in self._seen:
                self._seen.add(place_of(ref))
                await self._one(run, ref.whole)

    async def _one(self, run: str, ref: Ref) -> None:
        reason = self._silent.get(ref.host, "") if ref.host and not ref.digest else ""
        if ref.key and not self._decrypt:
            reason = f"it is encrypted with the key {ref.key!r}, and the file would not be (--decrypt, decrypt=True)"
        if not reason:
            try:
                inside = await self._plane.here([ref])
                for each in inside:
                    if each.whole == ref:
                        self._writer.add_payload(place_of(ref), self._plane.bodies.view(ref, verify=True))
                await self._refs(run, [each for each in inside if each.whole != ref])
                return
            except (PayloadError, BrokerError) as error:
                reason = f"{error.code}: {error}"
                if ref.host:
                    self._silent[ref.host] = f"its host {ref.host} has not answered for another value"
            finally:
                self._plane.bodies.forget_copies()
        self._writer.lost.append(LostPart(str(ref), run, reason))
