"""Versions of a flow: which one new runs begin with. Deploying one, moving new runs to one little by little, and going back.

Which version is current stands in `flow.<name>`, a Current. While new runs are moved there are two: the current one, and the `next` one
with its share. Every change is made by compare-and-set on what was read, so of two that change at once none is lost.

Guarantees: a run stays with the version that it began with, whatever changes; of what a change says, either all is so or nothing.
Does not: wait until every process has heard of it. That takes them moments.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from ..schemas import messages, subjects
from ..schemas.errors import JetfleetError, UnreadableRecord, UsageError
from ..schemas.messages import Current, Definition
from .client import Connection, WrongSequence
from .definitions import compile_definition
from .deployment import ensure_flow_consumer

PREVIOUS_MAX = 16
"""Earlier versions that are kept in mind to go back to."""
WHOLE = 100.0
_POINTS = 10_000


class NothingToMove(JetfleetError):
    """The flow has one version that new runs begin with, and no other one to move them to or back to."""

    code = "NOTHING_TO_MOVE"


@dataclass(frozen=True, slots=True)
class DeployedFlow:
    """`changed`: whether other versions, or other shares, were current before. `share`: the percentage of new runs that begin with it."""

    name: str
    version: str
    digest: str
    changed: bool
    share: float = WHOLE


Change = Callable[[Current | None], Current | None]


async def deploy(connection: Connection, definition: Definition, share: float = WHOLE) -> DeployedFlow:
    """Make this version the current one; with a `share` below 100, the next one, for so many percent of new runs.

    Deploying what is so changes nothing. Raises BrokenDefinition, UsageError, BrokerError.
    """
    compile_definition(definition)
    _check(share)
    await ensure_flow_consumer(connection, definition.name)
    # A definition that differs in what the digest leaves out (descriptions) takes the place of the old one.
    await connection.publisher.publish(subjects.plan(definition.digest), messages.encode(definition))
    new = Current(definition.name, definition.version, definition.digest, definition.deployed_at)
    before, now = await _change(connection, definition.name, lambda current: _deployed(current, new, share))
    stands = WHOLE if now is None or now.digest == new.digest else share
    return DeployedFlow(definition.name, definition.version, definition.digest, now != before, stands)


async def undeploy(connection: Connection, name: str) -> bool:
    """Start no more runs of the flow; events wait, runs go on. False if it was not deployed."""
    if await current(connection, name) is None:
        return False
    await connection.publisher.publish(subjects.current_flow(name), b"")  # not purged: who follows the stream has to see it
    return True


async def move(connection: Connection, name: str, share: float) -> Current:
    """Let so many percent of new runs begin with the next version; with 100 it becomes the current one, with 0 it waits.

    Raises NothingToMove, UsageError for what is no share, BrokerError.
    """
    _check(share, least=0.0)
    next = await _definition(connection, name, lambda current: current.next)

    def moved(current: Current | None) -> Current:
        if current is None or not current.next or next is None or current.next != next.digest:
            raise NothingToMove(
                f"all new runs of flow {name!r} begin with one version; deploy another one for some of them: "
                "`jetfleet deploy FILE --share 10%`"
            )
        return _deployed(current, Current(name, next.version, next.digest, next.deployed_at), share)

    return _there(await _change(connection, name, moved))


async def roll_back(connection: Connection, name: str, to: str = "") -> Current:
    """Let all new runs begin with an earlier version: the one `to` is the digest of; else, if runs are being moved, the current one, and if
    not, the one before. Raises NothingToMove, BrokerError."""

    def target(current: Current) -> str:
        return to or (current.digest if current.next else current.previous[-1] if current.previous else "")

    found = await _definition(connection, name, target)

    def rolled(current: Current | None) -> Current:
        if current is None or found is None or target(current) != found.digest:
            raise NothingToMove(
                f"flow {name!r} has no earlier version to go back to; `jetfleet flow versions {name}` shows those there are"
            )
        back = Current(name, found.version, found.digest, found.deployed_at)
        here = _deployed(current, back, WHOLE)
        if to or current.next:
            return here
        return msgspec.structs.replace(here, previous=current.previous[:-1])  # going back again goes further back

    return _there(await _change(connection, name, rolled))


async def current(connection: Connection, name: str) -> Current | None:
    """What is current on the server right now. Raises BrokerError."""
    return (await _read(connection, name))[0]


def chooses_next(run: str, share: float) -> bool:
    """Whether a run with this id is among the `share` percent that begin with the next version.

    It follows from the id alone: the same event chooses the same, and who is among 10 % is among 50 %, too. Not by the CRC that partitions
    are chosen by: the runs of a version should be spread over all of them.
    """
    return int.from_bytes(sha256(run.encode()).digest()[-4:]) % _POINTS < share * (_POINTS / WHOLE)


def _deployed(current: Current | None, new: Current, share: float) -> Current:
    """What is current once `new` gets `share` percent of the runs."""
    if current is None or share >= WHOLE or new.digest == current.digest:
        return _alone(current, new)
    return msgspec.structs.replace(current, next=new.digest, share=share)


def _alone(current: Current | None, new: Current) -> Current:
    if current is None:
        return new
    if new.digest == current.digest:
        return msgspec.structs.replace(current, next="", share=0.0)
    previous = [*(digest for digest in current.previous if digest != new.digest), current.digest]
    return msgspec.structs.replace(new, previous=tuple(previous[-PREVIOUS_MAX:]))


async def _change(connection: Connection, name: str, change: Change) -> tuple[Current | None, Current | None]:
    """What was current, and what is now. `change` is asked again if somebody else came in between; what it raises changes nothing."""
    while True:
        before, seq = await _read(connection, name)
        now = change(before)
        if now == before or now is None:
            return before, now
        try:
            await connection.publisher.publish(subjects.current_flow(name), messages.encode(now), expect_last_subject_seq=seq)
        except WrongSequence:
            continue
        return before, now


async def _read(connection: Connection, name: str) -> tuple[Current | None, int]:
    stored = await connection.streams.last(subjects.FLOWS, subjects.current_flow(name))
    if stored is None:
        return None, 0
    try:
        return (messages.decode(Current, stored.data) if stored.data else None), stored.seq
    except UnreadableRecord:
        return None, stored.seq


async def _definition(connection: Connection, name: str, which: Callable[[Current], str]) -> Definition | None:
    """The definition of one of the flow's versions; None if there is none."""
    now = await current(connection, name)
    digest = "" if now is None else which(now)
    stored = await connection.streams.last(subjects.FLOWS, subjects.plan(digest)) if digest else None
    try:
        found = messages.decode(Definition, stored.data) if stored is not None else None
    except UnreadableRecord:
        return None
    return found if found is not None and found.name == name else None


def _there(changed: tuple[Current | None, Current | None]) -> Current:
    now = changed[1]
    assert now is not None
    return now


def _check(share: float, least: float = 0.01) -> None:
    if not (math.isfinite(share) and least <= share <= WHOLE):
        raise UsageError(f"a share of {share:g}%: between {least:g}% and 100% of new runs can begin with a version")
