"""Pins: which run needs which object. An object is kept as long as there is a pin of it.

A pin names the digest of the bytes, whatever key they are encrypted with: who hands a ref on needs no key to keep its bytes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import msgspec
import structlog

from ...schemas import subjects
from ...schemas.messages import FAILURES
from ..client import Connection, StoredMessage, WrongSequence

_log = structlog.get_logger(__name__)


class Pin(msgspec.Struct, array_like=True, frozen=True):
    """The body of a pin. `until_ms`: since the epoch; 0: as long as the run. `nested`: the object has refs in it, which only its readers
    see; so whatever its run's family pins stays as long as this.
    """

    run: str
    until_ms: int = 0
    nested: bool = False


@dataclass(frozen=True, slots=True)
class StoredPin:
    """A pin as it stands in the stream."""

    subject: str
    seq: int
    digest: str
    pin: Pin


def pin_until(run: str, digest: str, until_ms: int, nested: bool = False) -> tuple[str, bytes]:
    """Subject and body of a pin that stays until then (ms since the epoch), also when the run is over. 0: as long as the run."""
    return subjects.object_pin(run, digest), msgspec.msgpack.encode(Pin(run, until_ms, nested))


def pin_of_letter(run: str, digest: str, until_ms: int, nested: bool = False) -> tuple[str, bytes]:
    """As `pin_until`, for a dead letter that names the run's object: beside the run's own pin, which may stay longer, or go sooner."""
    return subjects.object_pin(f"{run} letter", digest), msgspec.msgpack.encode(Pin(run, until_ms, nested))


def pin_of_failure(run: str, until_ms: int) -> tuple[str, bytes]:
    """As `pin_until`, of no object: it keeps what the run's family has pinned, for who tries a failed run again. 0: no longer."""
    return pin_until(run, "failed", until_ms, nested=True)


class Pins:
    """All pins of a deployment. Every method may raise the client's BrokerErrors."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, run: str, digest: str) -> None:
        """Returns when it is stored. A pin that is there already is written anew, so that nobody withdraws it who saw the old one; until
        when it stays is not forgotten by that: somebody else may be recording the end of the run."""
        written = False
        while not written:
            subject = subjects.object_pin(run, digest)
            stored = await self._connection.streams.last(subjects.OBJECTS, subject)
            there = None if stored is None else _pin(stored)
            _, body = pin_until(run, digest, 0) if there is None else pin_until(run, digest, there.until_ms, there.nested)
            written = await self._write(subject, body, 0 if stored is None else stored.seq)

    async def remove(self, run: str, keep: Collection[str] = ()) -> None:
        """All pins of a run but those of the digests to keep."""
        everything = subjects.object_pin(run, "*")
        if not keep:
            await self._connection.streams.purge(subjects.OBJECTS, subject=everything)
            return
        for subject in await self._connection.streams.subjects(subjects.OBJECTS, everything):
            if subject.rpartition(".")[2] not in keep:
                await self._connection.streams.purge(subjects.OBJECTS, subject=subject)

    async def withdraw(self, stored: StoredPin) -> None:
        """Remove this pin, and none that was written in its place since."""
        await self._connection.streams.purge(subjects.OBJECTS, subject=stored.subject, seq=stored.seq + 1)

    async def exist(self, digest: str) -> bool:
        """Whether any run needs it, as the stream's leader knows it."""
        return await self._connection.streams.last(subjects.OBJECTS, f"object.pin.*.{digest}") is not None

    async def all(self) -> list[StoredPin]:
        """Possibly a moment old. What cannot be read stays, and is logged."""
        found = []
        for stored in await self._connection.streams.last_of_each(subjects.OBJECTS, "object.pin.>"):
            pin = _pin(stored)
            if pin is not None:
                found.append(StoredPin(stored.subject, stored.seq, stored.subject.rpartition(".")[2], pin))
        return found

    async def _write(self, subject: str, body: bytes, expected_seq: int) -> bool:
        try:
            await self._connection.publisher.publish(subject, body, expect_last_subject_seq=expected_seq)
        except WrongSequence:
            return False
        return True


def _pin(stored: StoredMessage) -> Pin | None:
    try:
        return _decode(stored.data)
    except FAILURES as error:
        _log.error("object_pin_unreadable", subject=stored.subject, error=str(error))
        return None


_decode = msgspec.msgpack.Decoder(Pin).decode
