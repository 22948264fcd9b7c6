"""Plays: a second of a small fleet's life, each with what can go wrong in it. On sound code no checker has anything to say of them.

    orders        events become runs and end; some come twice; one entry of the WAL is no record
    handover      a coordinator leaves while a run waits; the next one hears the signal
    redelivered   a task that was recorded is given to a worker once more
    taken_away    somebody else writes itself into a lease
    timed         a run waits for a time
    damaged_log   a message of a WAL is gone before a coordinator reads it
    cancelled     a run that waits is cancelled
    failing       a node fails once, another one says too much
    large_values  one of some values in an arena is damaged

A play waits no longer than its fleet's patience for anything, so that it comes to its end where something is broken.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from zlib import crc32

from structlog.testing import capture_logs

from jetfleet.broker.arena import Arena, ArenaSettings
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Lease, Task
from jetfleet.schemas.payload import encode
from jetfleet.schemas.payload_errors import PayloadError
from jetfleet.schemas.records import SignalReceived

from ..arena.places import flip, segment_file
from . import flows
from .evidence import Value
from .flows import CHAIN, SIGNALLED, TIMED
from .small_fleet import PATIENCE_S, SmallFleet

Play = Callable[[SmallFleet], Awaitable[None]]
ORDERS = 10
OVERSTAYING_NS = 300_000_000
CANARY = "xyzzy-0451"
OVERDUE_S = 0.3
STRANGER = "coordinator-of-somebody-else"


async def orders(small: SmallFleet) -> None:
    await small.deploy(flows.chain())
    runs = [await small.send(CHAIN, f"k{n}") for n in range(ORDERS)]
    await small.ended(*filter(None, runs))
    await small.fleet.quiet()
    for n in range(3):  # their publishers did not hear, and repeat them
        await small.send(CHAIN, f"k{n}")
    await small.client.connection.publisher.publish(subjects.wal(0), b"\xc1 no record")
    await small.until(lambda: bool(small.recorder.letters))


async def handover(small: SmallFleet) -> None:
    await small.deploy(flows.signalled())
    run = await small.send(SIGNALLED, "k1")
    await small.until(lambda: len(small.recorder.records.get(run, [])) > 1)
    await small.fleet.quiet()
    first = small.fleet.coordinators[0]
    small.ledger.fault("leaves", "coordinator")
    await small.fleet.leave(first)
    await small.fleet.coordinator()
    small.ledger.healed("leaves")
    await small.client.signal(run, flows.SIGNAL, id="s1")
    await small.ended(run)


async def redelivered(small: SmallFleet) -> None:
    """A task that was recorded comes to a worker once more, as it does when an acknowledgement is lost."""
    await small.deploy(flows.chain())
    run = await small.send(CHAIN, "k1")
    await small.ended(run)
    plan = small.client.require(CHAIN)
    small.ledger.fault("redelivery")
    task = Task(run, (0,), 1, plan.digest, encode(flows.payload(1)), (), True)
    await small.client.connection.publisher.publish(subjects.tasks("default"), messages.encode_all([task]))
    await _no_tasks_left(small)


async def _no_tasks_left(small: SmallFleet) -> None:
    """Wait until all that is in TASKS was acknowledged: in a work queue it is gone then."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not await small.client.connection.streams.subjects(subjects.TASKS, "tasks.>"):
            return


async def taken_away(small: SmallFleet) -> None:
    """Somebody else writes itself into the lease: whoever had it has to let go."""
    owner = small.fleet.coordinators[0]
    lease = Lease(STRANGER, time.time_ns() // 1_000_000, owner.leases.generation(0) + 1)  # type: ignore[operator]
    small.ledger.fault("usurped", "lease.0")
    await small.client.connection.publisher.publish(subjects.lease(0), messages.encode(lease))

    def is_over() -> bool:
        """It has let go; or it has said for so long that it acts for the partition that nobody can overlook it."""
        owner.membership.tell()
        beats = [beat for beat in small.recorder.beats if beat.at_ns > _taken_at_ns(small)]
        return any(0 not in beat.partitions for beat in beats) or (len(beats) > 1 and beats[-1].at_ns - beats[0].at_ns > OVERSTAYING_NS)

    await small.until(is_over, PATIENCE_S)


def _taken_at_ns(small: SmallFleet) -> int:
    """When the stranger's lease was written; the end of time before that."""
    return next((seen.at_ns for seen in small.recorder.leases if seen.lease.owner == STRANGER), 1 << 63)


async def timed(small: SmallFleet) -> None:
    await small.deploy(flows.timed())
    run = await small.send(TIMED, "k1")
    await small.ended(run)
    overdue_at = time.monotonic() + OVERDUE_S
    await small.until(lambda: small.recorder.summary(run) is not None or time.monotonic() > overdue_at, PATIENCE_S)


async def damaged_log(small: SmallFleet) -> None:
    """A message of a WAL is gone before anybody has read it: its partition must stay closed."""
    await small.deploy(flows.signalled())
    run = await small.send(SIGNALLED, "k1")
    await small.until(lambda: len(small.recorder.records.get(run, [])) > 1)
    await small.fleet.leave(small.fleet.coordinators[0])
    connection = small.client.connection
    for name in ("noise", "what is gone", flows.SIGNAL):
        signal = SignalReceived(run, time.time_ns() // 1_000_000, name)
        stored = await connection.publisher.publish(subjects.wal(0), messages.encode_all([signal]))
        if name == "what is gone":
            small.ledger.fault("damage", f"WAL_0, seq {stored.seq}")
            await connection.streams.delete_message(subjects.wal_stream(0), stored.seq)
    with capture_logs() as lines:
        coming = asyncio.create_task(small.fleet.coordinator())
        await small.until(lambda: small.recorder.summary(run) is not None or _says_damaged(lines), PATIENCE_S)
    coming.cancel()
    await asyncio.wait([coming])


def _says_damaged(lines: Sequence[Mapping[str, Any]]) -> bool:
    return any("damaged" in line["event"] for line in lines)


async def cancelled(small: SmallFleet) -> None:
    await small.deploy(flows.signalled())
    run = await small.send(SIGNALLED, "k1")
    await small.until(lambda: len(small.recorder.records.get(run, [])) > 1)
    await small.client.cancel(run, "nobody wants it")
    small.ledger.cancelled(run)
    await small.ended(run)


async def failing(small: SmallFleet) -> None:
    """A node whose first attempt fails, and one that says too much. What the process logs is kept."""
    retry = {"max_attempts": 2, "initial_delay_ms": 10}
    await small.deploy(
        flows.flow("flaky", {"a": {"type": "s.flaky", "retry": retry}}, []), flows.flow("indiscreet", {"a": {"type": "s.logs_in"}}, [])
    )
    with capture_logs() as lines:
        await small.ended(await small.send("flaky", "k1"), await small.send("indiscreet", "k2"))
    small.further |= {"canaries": (CANARY,), "texts": {"the log": "\n".join(map(str, lines))}}


async def large_values(small: SmallFleet) -> None:
    """Values in an arena of which one is damaged behind its back."""
    arena = Arena.open(ArenaSettings(small.fleet.folder / "arena", max_bytes=64 << 20))
    bodies = [os.urandom(1 << 16) for _ in range(3)]
    refs = [arena.write("bytes", [body], run=f"run-{number}") for number, body in enumerate(bodies)]
    flip(segment_file(arena, refs[1]), refs[1].offset + 999)
    small.ledger.fault("flipped bit", str(refs[1]))
    values = []
    for ref, body in zip(refs, bodies, strict=True):
        try:
            values.append(Value(str(ref), crc32(body), crc32(arena.view(ref))))
        except PayloadError as error:
            values.append(Value(str(ref), crc32(body), None, error.code))
    arena.close()
    small.further |= {"values": values}


PLAYS: dict[str, Play] = {
    play.__name__: play
    for play in (orders, handover, redelivered, taken_away, timed, damaged_log, cancelled, failing, large_values)
}  # fmt: skip
