"""Queues and their server: it is killed, it has no room for another queue."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from jetfleet.broker.queues import ensure_queue
from jetfleet.broker.store_size import StoreTooSmall
from jetfleet.broker.topology import FLEET_BYTES

from ...fleet.conftest import ServerFactory
from ...fleet.fleets import LONG_S, fleet
from ...fleet.running import run
from ...fleet.trouble import restarted, until
from .places import listening, run_of, run_on, there


def test_messages_are_a_run_each_although_the_server_is_killed_while_they_are_sent_and_taken(
    server_factory: ServerFactory, tmp_path: Path
) -> None:
    async def test() -> None:
        server = server_factory()
        async with fleet(server.url, tmp_path) as one:
            await one.deploy(listening("shop", {"name": "orders", "capacity": 1_000}), listening("audit", {"subjects": "shop.>"}))
            queue, client = one.client.queue("orders"), one.client
            await there(client.connection, "QUEUE_orders")
            sending = [asyncio.create_task(queue.put(n, id=f"q{n}")) for n in range(200)]
            sending += [asyncio.create_task(client.publish("shop.eu.created", n, id=f"s{n}")) for n in range(200)]
            await one.log.until(lambda: len(one.log.begun) > 20, "the first runs")
            await restarted(server)
            await asyncio.gather(*sending)
            runs = {run_of("shop", f"q{n}") for n in range(200)} | {run_on("audit", "shop.eu.created", f"s{n}") for n in range(200)}
            await one.log.ended(*runs, deadline_s=LONG_S)
            assert one.log.begun == runs and not one.log.letters

    run(test(), 90)


def test_a_queue_for_which_the_server_has_no_room_says_so_and_the_others_go_on(server_factory: ServerFactory, tmp_path: Path) -> None:
    async def test() -> None:
        async with fleet(server_factory(store_bytes=(1 << 30) + FLEET_BYTES).url, tmp_path) as one:
            with pytest.raises(StoreTooSmall, match="jetfleet queue delete"):
                for n in range(100):
                    await ensure_queue(one.client.connection, f"q{n}")
            two = [{"id": "in", "type": "queue", "params": {"name": "q0"}}, {"id": "more", "type": "queue", "params": {"name": "another"}}]
            await one.deploy(listening("shop", {}) | {"triggers": two})
            (coordinator,) = one.coordinators
            await until(lambda: any(each.state == "failing" for each in coordinator.triggers.served()), "a queue without room")
            (failing,) = [each for each in coordinator.triggers.served() if each.state == "failing"]
            assert failing.trigger == "more" and failing.error.startswith("SOURCE_BROKEN") and "store is too small" in failing.error
            await one.client.queue("q0").send(1, id="fits")
            await one.log.until(lambda: run_of("shop", "fits") in one.log.begun, "a run of the other queue")

    run(test(), 60)
