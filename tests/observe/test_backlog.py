"""The backlog of a real server: what waits for whom and since when, asked for seldom, unknown when there is no answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jetfleet.broker.client import Connection, Message, Pull
from jetfleet.broker.deployment import ensure, ensure_flow_consumer, ensure_queue, part_flow_consumer
from jetfleet.broker.observe.backlog import Backlog
from jetfleet.broker.observe.metrics import Exposed
from jetfleet.broker.topology import Topology, queue_consumer
from jetfleet.schemas import subjects

from ..fleet.background import BackgroundServer
from ..fleet.conftest import start_server
from ..fleet.running import run
from ..fleet.trouble import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BackgroundServer]:
    started = start_server(tmp_path / "nats")
    yield started
    started.stop()


def deployed(server: BackgroundServer, test: Callable[[Connection], Any]) -> None:
    async def connected() -> None:
        async with await Connection.open(server.url, name="test") as connection:
            await ensure(connection, Topology(partitions=1, store_bytes=1 << 30))
            await test(connection)

    run(connected())


def test_events_and_tasks_wait_until_somebody_takes_them(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        await ensure_flow_consumer(connection, "orders")
        await ensure_flow_consumer(connection, "idle")
        await ensure_queue(connection, "money")
        before_s = time.time()
        for subject in ("events.orders", "events.orders.web", "events.orders.web"):
            await connection.publisher.publish(subject, b"")
        for number in range(3):
            await connection.publisher.publish(subjects.tasks("money"), b"%d" % number)
        taken: list[Message] = []
        pull = Pull(connection, subjects.TASKS, queue_consumer("money"), taken.append, room=lambda: 1 - len(taken))
        await pull.start()
        await until(lambda: len(taken) == 1, "a task")
        backlog = Backlog(connection, cache_s=0)
        await backlog.refresh()
        assert (backlog.flows["orders"].count, backlog.flows["idle"].count) == (3, 0)
        assert (backlog.queues["money"].count, backlog.queues["money"].taken) == (2, 1)
        oldest = backlog.flows["orders"].oldest_s
        assert oldest is not None and 0 < oldest <= time.time() - before_s
        assert backlog.flows["idle"].oldest_s == 0
        assert 0 < backlog.streams["EVENTS"].bytes < backlog.streams["EVENTS"].limit_bytes
        await taken[0].ack()
        await pull.stop()

    deployed(server, test)


def test_events_that_no_consumer_gives_to_anybody_wait_too(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        await ensure_flow_consumer(connection, "whole")
        await part_flow_consumer(connection, "parted", ["go"])
        for subject in ("whole", "whole.go", "whole.typo", "parted", "parted.go", "parted.typo", "parted.go.eu", "nobody.go"):
            await connection.publisher.publish(f"events.{subject}", b"")
        backlog = Backlog(connection, cache_s=0)
        await backlog.refresh()
        assert {flow: each.count for flow, each in backlog.flows.items()} == {"whole": 3, "parted": 4, "nobody": 1}

    deployed(server, test)


def test_the_age_is_that_of_the_first_that_nobody_has_taken(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        await ensure_queue(connection, "money")
        await connection.publisher.publish(subjects.tasks("money"), b"taken")
        taken: list[Message] = []
        pull = Pull(connection, subjects.TASKS, queue_consumer("money"), taken.append, room=lambda: 1 - len(taken))
        await pull.start()
        await until(lambda: len(taken) == 1, "a task")
        between_s = time.time()
        await connection.publisher.publish(subjects.tasks("money"), b"waits")
        backlog = Backlog(connection, cache_s=0)
        await backlog.refresh()
        oldest = backlog.queues["money"].oldest_s
        assert oldest is not None and oldest <= time.time() - between_s
        await pull.stop()

    deployed(server, test)


def test_tasks_near_hosts_count_for_their_queue_also_where_nobody_has_asked_for_them_yet(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        await ensure_queue(connection, "money")
        await ensure_queue(connection, "money", "alpha")
        before_s = time.time()
        for subject in (subjects.tasks("money", "alpha"), subjects.tasks("money"), subjects.tasks("money", "gone"), subjects.tasks("new")):
            await connection.publisher.publish(subject, b"")
        taken: list[Message] = []
        pull = Pull(connection, subjects.TASKS, queue_consumer("money", "alpha"), taken.append, room=lambda: 1 - len(taken))
        await pull.start()
        await until(lambda: len(taken) == 1, "a task")
        backlog = Backlog(connection, cache_s=0)
        await backlog.refresh()
        assert {name: (each.count, each.taken) for name, each in backlog.queues.items()} == {"money": (2, 1), "new": (1, 0)}
        oldest = backlog.queues["money"].oldest_s
        assert oldest is not None and 0 < oldest <= time.time() - before_s
        await pull.stop()

    deployed(server, test)


def test_many_consumers_are_listed_page_by_page(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        names = {f"queue{number}" for number in range(300)}
        await asyncio.gather(*(ensure_queue(connection, name) for name in names))
        backlog = Backlog(connection)
        await backlog.refresh()
        assert set(backlog.queues) == names
        assert sum(waiting.oldest_s is not None for waiting in backlog.queues.values()) == 64

    deployed(server, test)


def test_the_server_is_asked_once_for_many_scrapers(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        backlog = Backlog(connection, cache_s=3_600)
        await asyncio.gather(*(backlog.refresh() for _ in range(5)))
        before = backlog.streams
        await connection.publisher.publish("events.orders", b"")
        await backlog.refresh()
        assert backlog.streams is before

    deployed(server, test)


def test_without_an_answer_nothing_is_claimed(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        await ensure_flow_consumer(connection, "orders")
        backlog = Backlog(connection, cache_s=0)
        await backlog.refresh()
        assert "orders" in backlog.flows
        server.kill()
        await until(lambda: not connection.is_connected, "the loss to be noticed")
        await backlog.refresh()
        assert (backlog.flows, backlog.queues, backlog.streams) == ({}, {}, {})
        assert [family.samples for family in Exposed(backlog).collect()] == [[]] * 7

    deployed(server, test)


def test_a_server_that_has_forgotten_its_memory_has_no_queues(server: BackgroundServer) -> None:
    async def test(connection: Connection) -> None:
        await ensure_queue(connection, "money")
        await connection.streams.delete_stream(subjects.TASKS)
        backlog = Backlog(connection)
        await backlog.refresh()
        assert backlog.queues == {} and "EVENTS" in backlog.streams

    deployed(server, test)
