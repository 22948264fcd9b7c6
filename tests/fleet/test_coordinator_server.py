"""The server is killed under load: what it had in memory is given out again, and nothing that it had on disk is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from jetfleet.broker.client import Connection
from jetfleet.broker.deployment import Deployed, ensure_memory
from jetfleet.schemas import messages, subjects
from jetfleet.schemas.messages import Task, decode, split
from jetfleet.schemas.records import Completion, SignalReceived

from .conftest import ServerFactory
from .fleet_log import executed_twice
from .fleets import LONG_S, chain, fleet, flow
from .running import run
from .trouble import restarted


def test_kill_9_of_the_server_under_load_loses_nothing(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        executions = tmp_path / "executions"
        async with fleet(server.url, tmp_path, coordinators=2, workers=2) as one:
            await one.shared()
            await one.deploy(chain("orders", *["f.step"] * 3))
            runs = await asyncio.gather(*one.ids("orders", 300, {"log": str(executions)}))
            for share in (1, 2):
                await one.log.until(lambda share=share: one.log.completions() >= 300 * share, "some of the work")  # type: ignore[misc]
                await restarted(server)
            assert {summary.status for summary in await one.log.ended(*runs, deadline_s=LONG_S)} == {"completed"}
            assert one.log.begun == set(runs)
            for id in runs:
                assert {record.activation for record in one.log.journal(id)[1:] if isinstance(record, Completion)} == {(0,), (1,), (2,)}
            # A completion may be on its way to the log when the repeated task is asked about: at most that work is done again.
            assert executed_twice(executions) < 300

    run(test(), 60)


def test_tasks_that_nobody_had_taken_are_given_out_again_when_the_server_lost_them(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders"))
            runs = await asyncio.gather(*one.ids("orders", 50))
            await one.log.until(lambda: one.log.begun == set(runs), "all runs to begin")
            await one.quiet()
            await restarted(server)
            await one.worker()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert all(len(one.log.journal(id)) == 4 for id in runs)

    run(test())


def test_tasks_wait_until_a_server_that_lost_them_has_room_for_them_again(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        server = server_factory(memory_bytes=600 << 20)
        async with fleet(server.url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders"))
            runs = await asyncio.gather(*one.ids("orders", 5))
            await one.log.until(lambda: one.log.begun == set(runs), "all runs to begin")
            await one.quiet()
            streams, (coordinator,) = one.client.connection.streams, one.coordinators
            await streams.delete_stream(subjects.TASKS)
            await streams.create_stream({"name": "OTHERS", "subjects": ["others"], "storage": "memory", "max_bytes": 500 << 20})
            coordinator._disconnected()
            looks = asyncio.create_task(coordinator._check_epoch())
            await asyncio.wait([looks], timeout=0.5)  # who gives up does so at the first look
            assert not looks.done() and "lost its memory" in coordinator.outbox.blocked_by
            await streams.delete_stream("OTHERS")
            await looks
            await one.worker()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}

    run(test())


def test_what_a_server_said_before_the_next_cut_lets_no_task_go(fresh_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        async with fleet(fresh_url, tmp_path, workers=0) as one:
            (coordinator,), held = one.coordinators, []

            async def cut_meanwhile(connection: Connection, found: Deployed) -> str:
                epoch = await ensure_memory(connection, found)
                held.append(coordinator.outbox.blocked_by)
                if len(held) == 1:
                    coordinator._disconnected()
                return epoch

            monkeypatch.setattr("jetfleet.broker.coordinator.coordinator.ensure_memory", cut_meanwhile)
            coordinator._disconnected()
            await coordinator._check_epoch()
            assert ["lost its memory" in each for each in held] == [True, True]
            assert not coordinator.outbox.blocked_by

    run(test())


def test_tasks_that_the_server_lost_while_no_coordinator_was_there_are_given_out_by_the_next_one(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path, workers=0) as one:
            await one.deploy(chain("orders"))
            runs = await asyncio.gather(*one.ids("orders", 50))
            await one.log.until(lambda: one.log.begun == set(runs), "all runs to begin")
            await one.quiet()
            await one.leave(one.coordinators[0])
            await restarted(server)
            await one.coordinator()
            await one.worker()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert all(len(one.log.journal(id)) == 4 for id in runs)

    run(test())


def test_who_takes_over_after_the_server_forgot_gives_out_once_what_it_reads_of_in_the_log(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    """Two copies of a task would be asked about, and wanted, by two workers at once."""

    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path, workers=0) as one:
            await one.deploy(flow("waiting", {"wait": {"type": "std::wait", "config": {"signal": "go"}}, "a": {"type": "f.echo"}}))
            runs = await asyncio.gather(*one.ids("waiting", 20))
            await one.log.until(lambda: one.log.begun == set(runs), "all runs to begin")
            await one.quiet()
            await one.leave(one.coordinators[0])
            await restarted(server)
            for id in runs:  # behind the snapshot
                signal = messages.encode_all([SignalReceived(id, 1, "go")])
                await one.client.connection.publisher.publish(subjects.wal(subjects.partition_of(id, one.client.partitions)), signal)
            await one.coordinator()
            await one.quiet()
            tasks = one.client.connection.streams.read(subjects.TASKS)
            given = [decode(Task, raw).run async for stored in tasks if stored.subject.startswith("tasks.") for raw in split(stored.data)]
            assert Counter(given) == Counter(runs)
            await one.worker()
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}

    run(test())


def test_publishers_go_on_through_a_restart_and_every_event_that_was_acknowledged_runs_once(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path) as one:
            await one.deploy(chain("orders"))
            publisher = one.client.connection.publisher
            sending = [publisher.submit("events.orders.go", b"1", id=f"k{n}") for n in range(50)]
            server.kill()
            sending += [publisher.submit("events.orders.go", b"1", id=f"k{n}") for n in range(50, 100)]
            await asyncio.to_thread(server.restart)
            await asyncio.gather(*sending)
            runs = [subjects.run_id("orders", f"k{n}") for n in range(100)]
            assert {summary.status for summary in await one.log.ended(*runs)} == {"completed"}
            assert one.log.begun == set(runs)
            assert all(len([part for part in one.log.parts[id] if part.summary is not None]) == 1 for id in runs)

    run(test())
