"""Coordinators share the partitions evenly, and never own one twice, whatever happens to them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from itertools import chain
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection, WrongSequence
from jetfleet.broker.deployment import ensure
from jetfleet.broker.fleet.leases import FAILED, RELEASED, TAKEN, UNTRUSTED, Leases
from jetfleet.broker.fleet.membership import COORDINATOR, Membership
from jetfleet.broker.topology import Topology
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Lease

from .background import BackgroundServer
from .conftest import ServerFactory
from .coordinators import Coordinator
from .running import run
from .trouble import frozen, until

PARTITIONS = 8


@pytest.fixture
def server(server_factory: ServerFactory) -> BackgroundServer:
    started = server_factory()
    run(deploy(started))
    return started


async def deploy(server: BackgroundServer) -> None:
    async with await Connection.open(server.url, name="deploy") as connection:
        await ensure(connection, Topology(partitions=PARTITIONS, store_bytes=1 << 30))


async def shared(coordinators: list[Coordinator], shares: list[int]) -> None:
    """Wait until these own all partitions in these shares (in any order), watching that nobody owns what another does."""

    def settled() -> bool:
        for partition in range(PARTITIONS):
            assert sum(one.leases.holds(partition) for one in coordinators) <= 1
        held = [one.leases.held() for one in coordinators]
        owned = all(one.owned == set(one.leases.held()) for one in coordinators)
        return owned and sorted(map(len, held)) == sorted(shares) and sorted(chain(*held)) == list(range(PARTITIONS))

    await until(settled, f"shares {shares}")
    assert [one.clashes for one in coordinators] == [[]] * len(coordinators)


def test_one_then_two_then_three_then_two_share_evenly(server: BackgroundServer) -> None:
    async def test() -> None:
        peers: list[Coordinator] = []
        async with Coordinator(server.url, PARTITIONS, peers) as first, Coordinator(server.url, PARTITIONS, peers) as second:
            await shared([first, second], [4, 4])
            third = await Coordinator(server.url, PARTITIONS, peers).__aenter__()
            await shared([first, second, third], [2, 3, 3])
            await third.leave()
            assert third.owned == set() and third.leases.held() == []
            assert {reason for one in peers for _, reason in one.lost} == {RELEASED}
            await shared([first, second], [4, 4])

    run(test())


def test_who_was_alone_gives_up_half_and_what_stays_does_not_move(server: BackgroundServer) -> None:
    async def test() -> None:
        peers: list[Coordinator] = []
        async with Coordinator(server.url, PARTITIONS, peers) as first:
            await shared([first], [8])
            async with Coordinator(server.url, PARTITIONS, peers) as second:
                await shared([first, second], [4, 4])
                assert first.leases.held() == [0, 1, 2, 3]
                assert {first.leases.generation(partition) for partition in range(4)} == {1}
                assert {second.leases.generation(partition) for partition in range(4, 8)} == {2}
                await until(lambda: first.leases.owner(7) == second.membership.id, "the first hears who owns what")

    run(test())


def test_a_partition_is_let_go_of_before_another_gets_it(server: BackgroundServer) -> None:
    async def test() -> None:
        async with Coordinator(server.url, PARTITIONS) as first:
            await shared([first], [8])
            first.may_let_go.clear()
            leaving = asyncio.create_task(first.leases.stop())
            await first.letting_go.wait()
            async with Coordinator(server.url, PARTITIONS) as second:
                assert second.leases.owner(0) == first.membership.id and second.owned == set()
                first.may_let_go.set()
                await leaving
                await shared([second], [8])

    run(test())


def test_a_lease_that_names_who_has_lost_it_and_is_due_no_more_is_freed(server: BackgroundServer) -> None:
    """As when somebody was stopped while a second one joined: it lost all, and claims its share."""

    async def test() -> None:
        async with Coordinator(server.url, PARTITIONS) as first, Coordinator(server.url, PARTITIONS) as second:
            await shared([first, second], [4, 4])
            partition = second.leases.held()[0]
            claimed = messages.encode(Lease(first.membership.id, 0, 9))
            await first.connection.publisher.publish(subjects.lease(partition), claimed)
            await until(lambda: (partition, TAKEN) in second.lost, "the second hears that it has lost it")
            await shared([first, second], [4, 4])

    run(test())


def test_who_hears_of_no_lease_reads_those_that_it_claims_in_vain(server: BackgroundServer) -> None:
    """Its tail is silent: without a look at the lease itself it would claim it for ever with a sequence of long ago."""

    async def test() -> None:
        async with Coordinator(server.url, PARTITIONS) as first:
            await shared([first], [8])
            async with Coordinator(server.url, PARTITIONS) as second:
                second.leases._tail._handle = lambda message: None
                second.leases._known.clear()
                await shared([first, second], [4, 4])

    run(test())


def test_of_many_that_want_one_lease_one_gets_it(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            wants = [
                connection.publisher.publish(subjects.lease(3), messages.encode(Lease(f"m{n}", 0, 1)), expect_last_subject_seq=0)
                for n in range(20)
            ]
            results = await asyncio.gather(*wants, return_exceptions=True)
            assert sum(not isinstance(result, BaseException) for result in results) == 1
            assert sum(isinstance(result, WrongSequence) for result in results) == 19

    run(test())


def test_all_that_start_at_once_end_up_with_an_even_share(server: BackgroundServer) -> None:
    async def test() -> None:
        peers: list[Coordinator] = []
        started = await asyncio.gather(*(Coordinator(server.url, PARTITIONS, peers).__aenter__() for _ in range(5)))
        await shared(list(started), [1, 1, 2, 2, 2])
        await asyncio.gather(*(one.leave() for one in started))

    run(test())


def test_a_lease_that_somebody_else_got_after_it_was_found_free_is_left_alone(server: BackgroundServer) -> None:
    async def test() -> None:
        peers: list[Coordinator] = []
        async with Coordinator(server.url, PARTITIONS, peers) as first, Coordinator(server.url, PARTITIONS, peers) as second:
            await shared([first, second], [4, 4])
            partition = first.leases.held()[0]
            told = second.leases._known.pop(partition)  # the tail has not told it yet
            claiming = asyncio.create_task(second.leases._claim_all([], 1))
            await asyncio.sleep(0)  # it has decided, and nothing has left
            second.leases._known[partition] = told
            await claiming
            assert first.leases.holds(partition) and not second.leases.holds(partition)
            await shared([first, second], [4, 4])

    run(test())


def test_a_lease_that_names_another_is_lost(server: BackgroundServer) -> None:
    async def test() -> None:
        async with Coordinator(server.url, PARTITIONS, beat_ms=200) as only:
            await shared([only], [8])
            await only.connection.publisher.publish(subjects.lease(2), messages.encode(Lease("a-stranger", 0, 9)))
            await until(lambda: (2, TAKEN) in only.lost, "the loss is noticed")
            assert not only.leases.holds(2) and only.leases.holds(1)
            await until(lambda: only.leases.holds(2), "the stranger was never seen, so its lease is taken over")
            assert only.leases.generation(2) == 10

    run(test())


def test_a_lease_nobody_can_read_counts_as_free(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await connection.publisher.publish(subjects.lease(5), b"\xc1 no lease")
            await connection.publisher.publish("lease.no-number", b"")
            await connection.publisher.publish("lease.999", messages.encode(Lease("x", 0, 1)))
        async with Coordinator(server.url, PARTITIONS) as only:
            await shared([only], [8])

    run(test())


def test_a_partition_that_cannot_be_taken_on_is_freed(server: BackgroundServer) -> None:
    async def test() -> None:
        lost: list[tuple[int, str]] = []

        async def gained(partition: int) -> None:
            if partition == 6:
                raise RuntimeError("its records have a hole")

        async def on_lost(partition: int, reason: str) -> None:
            lost.append((partition, reason))

        async with await Connection.open(server.url, name="test") as connection:
            membership = Membership(connection, COORDINATOR)
            leases = Leases(connection, membership, PARTITIONS, gained, on_lost)
            await membership.start()
            await leases.start()
            await until(lambda: lost == [(6, FAILED)] and len(leases.held()) == 7, "seven partitions are held")
            await until(lambda: leases.owner(6) is None, "the eighth is free for another")
            await leases.stop()
            await membership.stop()

    run(test())


def test_a_take_over_is_called_off_when_the_partition_is_lost_meanwhile(server: BackgroundServer) -> None:
    async def test() -> None:
        said: list[str] = []
        began = asyncio.Event()

        async def gained(partition: int) -> None:
            if partition == 0:
                began.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    said.append("called off")

        async def on_lost(partition: int, reason: str) -> None:
            if partition == 0:
                said.append(reason)

        async with await Connection.open(server.url, name="test") as connection:
            membership = Membership(connection, COORDINATOR)
            leases = Leases(connection, membership, PARTITIONS, gained, on_lost)
            await membership.start()
            await leases.start()
            await began.wait()
            await leases.stop()
            assert said == ["called off", RELEASED]
            await membership.stop()

    run(test())


def test_without_a_broker_everything_is_dropped_and_taken_back_later(server: BackgroundServer) -> None:
    async def test() -> None:
        async with Coordinator(server.url, PARTITIONS, beat_ms=200) as only:
            await shared([only], [8])
            with frozen(server):
                await until(lambda: len(only.lost) == 8, "trust has run out")
                assert {reason for _, reason in only.lost} == {UNTRUSTED}
                assert only.leases.held() == [] and not only.leases.holds(0)
            await shared([only], [8])
            assert only.leases.generation(0) == 2

    run(test())


async def start_process(server: BackgroundServer) -> tuple[Process, str]:
    command = [sys.executable, str(Path(__file__).with_name("coordinators.py")), server.url, str(PARTITIONS)]
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=subprocess.DEVNULL)
    return process, (await lines(process, "id", 1))[0].split()[1]


async def lines(process: Process, word: str, count: int) -> list[str]:
    """The next lines that begin with the word."""
    found: list[str] = []
    assert process.stdout is not None
    while len(found) < count:
        line = (await process.stdout.readline()).decode()
        assert line, f"the process ended before it said {word!r}"
        if line.startswith(word):
            found.append(line.strip())
    return found


async def end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


def test_a_killed_coordinator_of_this_machine_is_noticed_before_its_heartbeats_are_missed(server: BackgroundServer) -> None:
    async def test() -> None:
        process, id = await start_process(server)
        await lines(process, "gained", PARTITIONS)
        async with Coordinator(server.url, PARTITIONS) as heir:
            await until(lambda: len(heir.leases.held()) == 4, "half is handed over")
            process.kill()
            await until(lambda: not heir.membership.alive(id), "the death is noticed", deadline_s=1.5)
            await shared([heir], [8])
        await end(process)

    run(test())


def test_a_stopped_coordinator_is_replaced_and_knows_it_first_thing_when_it_goes_on(server: BackgroundServer) -> None:
    async def test() -> None:
        process, id = await start_process(server)
        await lines(process, "gained", PARTITIONS)
        os.kill(process.pid, signal.SIGSTOP)
        try:
            async with Coordinator(server.url, PARTITIONS) as heir:
                await shared([heir], [8])
                assert not heir.membership.alive(id)
                os.kill(process.pid, signal.SIGCONT)
                assert await lines(process, "woke", 1) == ["woke 0"]
                assert len(await lines(process, "lost", PARTITIONS)) == PARTITIONS
                assert len(await lines(process, "gained", 4)) == 4
                await until(lambda: len(heir.leases.held()) == 4, "they share again")
        finally:
            await end(process)

    run(test())
