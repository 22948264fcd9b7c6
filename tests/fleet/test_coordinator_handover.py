"""A partition changes hands: nothing leaves its old owner once its lease is free, and what was taken back is not taken for done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from jetfleet.broker.client import Connection, ConnectionClosed
from jetfleet.broker.coordinator import owner
from jetfleet.broker.coordinator.acknowledged import Acknowledged
from jetfleet.broker.coordinator.coordinator import Coordinator
from jetfleet.broker.coordinator.partition import Partition
from jetfleet.broker.fleet.leases import RELEASED
from jetfleet.schemas import subjects
from jetfleet.schemas.messages import Lease, Task

from .fleets import Fleet, chain, fleet
from .running import run
from .trouble import until

_tasks = msgspec.msgpack.Decoder(list[Task])


@asynccontextmanager
async def no_room_for_tasks(connection: Connection) -> AsyncIterator[None]:
    """Whatever is published to TASKS is refused meanwhile."""
    info = await connection.streams.stream_info(subjects.TASKS)
    assert info is not None
    await connection.streams.create_or_update_stream(info["config"] | {"max_msgs": info["state"]["messages"]})
    yield
    await connection.streams.create_or_update_stream(info["config"])


async def given_out(one: Fleet) -> dict[str, list[bool]]:
    """By run, whether its tasks in the stream are marked as repeated, in their order."""
    found: dict[str, list[bool]] = {}
    async for message in one.client.connection.streams.read(subjects.TASKS):
        if message.subject.startswith("tasks."):
            for task in _tasks.decode(message.data):
                found.setdefault(task.run, []).append(task.repeated)
    return found


def held_up(one: Coordinator) -> Callable[[], None]:
    """Between the loss of a lease and letting go of its partition nothing happens, until the result is called."""
    go_on, lost = asyncio.Event(), one.leases._on_lost

    async def later(partition: int, reason: str) -> None:
        await go_on.wait()
        await lost(partition, reason)

    one.leases._on_lost = later
    return go_on.set


async def a_task_that_waits(one: Coordinator) -> None:
    await until(lambda: sum(batcher.backlog for batcher in one.outbox._tasks.values()) == 1, "a task that is not stored")


def partition(one: Coordinator) -> Partition:
    found = one.owners[0].partition
    assert found is not None
    return found


async def regained(one: Coordinator, lost: Partition) -> None:
    await until(lambda: 0 in one.owners and not one.ready and partition(one) is not lost, "the partition is somebody's again")


def test_a_lease_is_freed_when_all_that_was_given_out_is_stored_also_if_a_record_comes_meanwhile(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1, workers=0) as one:
            (only,) = one.coordinators
            await one.deploy(chain("orders"))
            async with no_room_for_tasks(one.client.connection):
                first = await one.client.send("orders", {"n": 1})
                await a_task_that_waits(only)
                before, go_on = partition(only), held_up(only)
                only.leases._lose(0, RELEASED)
                second = await one.client.send("orders", {"n": 2})
                await until(lambda: before.abandoned, "a record that came too late")
                go_on()
                await until(lambda: 0 not in only.owners, "it is being let go of")
            await regained(only, before)
            await only.outbox.drained()
            assert await given_out(one) == {first: [False], second: [True]}

    run(test())


def test_tasks_that_cannot_be_stored_are_taken_back_before_the_lease_is_freed(
    fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, "LET_GO_S", 0.1)

    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1, workers=0) as one:
            (only,) = one.coordinators
            await one.deploy(chain("orders"))
            async with no_room_for_tasks(one.client.connection):
                id = await one.client.send("orders", {"n": 1})
                await a_task_that_waits(only)
                before = partition(only)
                only.leases._lose(0, RELEASED)
                await regained(only, before)
            await only.outbox.drained()
            assert await given_out(one) == {id: [True]}

    run(test())


def test_trust_that_comes_back_brings_no_lease_back(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1, workers=0) as one:
            (only,) = one.coordinators
            await one.deploy(chain("orders"))
            async with no_room_for_tasks(one.client.connection):
                id = await one.client.send("orders", {"n": 1})
                await a_task_that_waits(only)
                before, leases = partition(only), only.leases
                generation = leases.generation(0)
                only.membership.trusted_until = 0.0
                only.membership.tell()
                await until(lambda: only.membership.trusted, "trust again")
                assert leases.generation(0) != generation or not (leases.holds(0) or leases.sound)
                await regained(only, before)
                assert leases.generation(0) == (generation or 0) + 1
            await only.outbox.drained()
            assert await given_out(one) == {id: [True]}

    run(test())


def test_a_lease_that_was_stored_while_its_claimant_stood_still_is_not_held(fresh_url: str, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, partitions=1, workers=0) as one:
            (only,) = one.coordinators
            leases, write, gain = only.leases, only.leases._write, only.leases._gain
            held: list[bool] = []

            async def stands_still(number: int, lease: Lease, seq: int) -> int:
                stored = await write(number, lease, seq)
                if lease.owner:
                    only.membership.trusted_until = 0.0
                    await only.membership._beat()
                return stored

            def gained(*lease: Any) -> None:
                gain(*lease)
                held.append(leases.holds(0))
                leases._write = write  # type: ignore[method-assign]

            leases._write, leases._gain = stands_still, gained  # type: ignore[method-assign]
            before = partition(only)
            leases._lose(0, RELEASED)
            await regained(only, before)
            assert held == [False, True]

    run(test())


def test_what_was_taken_back_does_not_count_as_acknowledged() -> None:
    one = Acknowledged(0)
    tickets = [one.open(seq) for seq in (1, 2, 3)]
    for ticket in tickets:
        ticket.pending += 1
        ticket.settled(1, None)
    tickets[0].settled(1, None)
    tickets[1].settled(1, ConnectionClosed("closed"))
    tickets[2].settled(1, None)
    assert (one.position, one.under_way) == (1, 2)
