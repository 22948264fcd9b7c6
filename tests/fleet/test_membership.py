"""Who is there: told by heartbeats, by goodbyes, and by the processes of the own machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import ensure
from jetfleet.broker.fleet import process
from jetfleet.broker.fleet.membership import COORDINATOR, READER, WORKER, Membership, ttl_s
from jetfleet.broker.topology import Topology
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Member

from .background import BackgroundServer
from .conftest import start_server
from .running import run
from .trouble import frozen, restarted, until

QUICK_MS = 150
"""A heartbeat for tests that wait until somebody was silent for long enough."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundServer]:
    started = start_server(tmp_path_factory.mktemp("nats"))
    yield started
    started.stop()


async def connect(server: BackgroundServer) -> Connection:
    connection = await Connection.open(server.url, name="test")
    await ensure(connection, Topology(partitions=1, store_bytes=1 << 30))
    return connection


def stranger(id: str, *, boot: str = "another machine", pid: int = 1, pid_start: int = 0, leaving: bool = False) -> bytes:
    return messages.encode(Member(id, WORKER, "elsewhere", boot, pid, "1", 0, 100, 0, leaving, {}, pid_start))


def test_members_see_each_other_with_their_facts(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            coordinator = Membership(connection, COORDINATOR)
            worker = Membership(connection, WORKER, facts={"queues": ["default"]})
            await coordinator.start()
            joined: list[str] = []
            coordinator.on_joined.append(lambda member: joined.append(member.id))
            await worker.start()
            await until(lambda: joined == [worker.id], "the worker joins")
            assert [member.id for member in worker.others(COORDINATOR)] == [coordinator.id]
            seen = coordinator.others(WORKER)[0]
            assert (seen.pid, seen.boot, seen.facts) == (os.getpid(), process.boot(), {"queues": ["default"]})
            assert coordinator.alive(worker.id) and not coordinator.gone(worker.id)
            assert coordinator.others(READER) == []
            assert coordinator.id.startswith(f"coordinator-{process.host()}-{os.getpid()}-")
            worker.facts["busy"] = 3
            worker.tell()
            await until(lambda: coordinator.others(WORKER)[0].facts.get("busy") == 3, "the new fact")
            worker.facts["busy"] = object()
            worker.tell()
            await until(lambda: "untold" in coordinator.others(WORKER)[0].facts, "a fact without bytes silences nobody")
            await worker.stop()
            await coordinator.stop()

    run(test())


def test_who_says_goodbye_is_gone_at_once(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            one, two = Membership(connection, COORDINATOR), Membership(connection, WORKER)
            await one.start()
            await two.start()
            await until(lambda: one.alive(two.id), "the worker joins")
            left: list[str] = []
            one.on_gone.append(lambda member: left.append(member.id))
            await two.stop()
            await until(lambda: left == [two.id], "the goodbye")
            assert one.gone(two.id) and not one.alive(two.id)
            assert not two.trusted
            assert (two.id, False) in [(member.id, there) for member, there in one.members()]
            await one.stop()

    run(test())


def test_who_falls_silent_is_gone_after_its_time_to_live_and_may_come_back(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            watcher = Membership(connection, COORDINATOR, beat_ms=QUICK_MS)
            await watcher.start()
            events: list[str] = []
            watcher.on_joined.append(lambda member: events.append(f"joined {member.id}"))
            watcher.on_gone.append(lambda member: events.append(f"gone {member.id}"))
            await connection.publisher.publish(subjects.member("quiet"), stranger("quiet"))
            await until(lambda: watcher.gone("quiet"), "silence")
            await until(lambda: events == ["joined quiet", "gone quiet"], "both changes are told")
            await connection.publisher.publish(subjects.member("quiet"), stranger("quiet"))
            await until(lambda: watcher.alive("quiet"), "it is back")
            assert events[-1] == "joined quiet"
            await watcher.stop()

    run(test())


def test_a_member_nobody_has_ever_seen_is_gone_after_a_while(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            watcher = Membership(connection, COORDINATOR, beat_ms=QUICK_MS)
            await watcher.start()
            assert not watcher.gone("nobody") and not watcher.alive("nobody")
            await until(lambda: watcher.gone("nobody"), "long enough")
            assert not watcher.gone(watcher.id) and watcher.alive(watcher.id)
            await watcher.stop()

    run(test())


def test_a_process_of_this_machine_that_died_is_gone_although_it_beat_just_now(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            watcher = Membership(connection, COORDINATOR)
            await watcher.start()
            left: list[str] = []
            watcher.on_gone.append(lambda member: left.append(member.id))
            child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            started = process.start_ticks(child.pid) or 0
            beat = stranger("child", boot=process.boot(), pid=child.pid, pid_start=started)
            await connection.publisher.publish(subjects.member("child"), beat)
            reused = stranger("reused", boot=process.boot(), pid=child.pid, pid_start=started - 1)
            await connection.publisher.publish(subjects.member("reused"), reused)
            await until(lambda: watcher.gone("reused"), "another process has its pid")
            assert watcher.alive("child")
            child.kill()  # and nobody has waited for it yet: a zombie is gone too
            await connection.publisher.publish(subjects.member("child"), beat)
            await until(lambda: "child" in left, "the death")
            child.wait()
            await watcher.stop()

    run(test())


def test_trust_lasts_for_the_time_to_live_after_the_last_acknowledged_heartbeat(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            member, other = Membership(connection, COORDINATOR, beat_ms=QUICK_MS), Membership(connection, COORDINATOR, beat_ms=QUICK_MS)
            before = time.monotonic()
            await member.start()
            await other.start()
            assert before + member.ttl_s <= member.trusted_until <= time.monotonic() + member.ttl_s
            with frozen(server):
                before_then = member.trusted_until
                await until(lambda: not member.trusted, "trust runs out")
                assert member.trusted_until - before_then < member.ttl_s
                assert not member.hears
                assert not member.gone(other.id), "who hears nothing takes nobody for gone"
            await until(lambda: member.trusted and member.hears, "trust is back")
            assert member.alive(other.id)
            await member.stop()
            await other.stop()

    run(test())


def test_unreadable_members_are_left_out(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            await connection.publisher.publish(subjects.member("broken"), b"\xc1")
            await connection.publisher.publish(subjects.member("future"), stranger("future")[:-1])
            watcher = Membership(connection, COORDINATOR)
            await watcher.start()
            assert not {"broken", "future"} & {member.id for member in watcher.others()}
            await watcher.stop()

    run(test())


def test_heartbeats_go_on_across_a_restart_of_the_server(server: BackgroundServer) -> None:
    async def test() -> None:
        async with await connect(server) as connection:
            one, two = Membership(connection, COORDINATOR), Membership(connection, COORDINATOR)
            await one.start()
            await two.start()
            await restarted(server)
            then = time.monotonic()
            await until(lambda: one.trusted_until > then + one.ttl_s and one.hears, "a heartbeat after the restart")
            await until(lambda: one.alive(two.id) and two.alive(one.id), "both are there")
            await one.stop()
            await two.stop()

    run(test())


def test_the_time_to_live_is_four_beats() -> None:
    assert [ttl_s(beat_ms) for beat_ms in (100, 500, 2_000)] == [0.4, 2.0, 8.0]


def test_a_process_is_known_by_its_machine_its_pid_and_its_start() -> None:
    me, started = os.getpid(), process.start_ticks(os.getpid())
    assert started is not None
    assert not process.is_gone(process.boot(), me, started)
    assert not process.is_gone("another machine", 2**22 + 1, 0)
    assert not process.is_gone("", 2**22 + 1, 0)
    if process.boot():
        assert process.is_gone(process.boot(), me, started + 1)
        assert process.is_gone(process.boot(), 2**22 + 1, 0)
