"""A coordinator and a worker at work, seen from outside: its counters over HTTP, and when it is ready."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from jetfleet.broker.client import Connection
from jetfleet.broker.coordinator.coordinator import Coordinator, CoordinatorSettings
from jetfleet.broker.definitions import define
from jetfleet.broker.deployment import ensure
from jetfleet.broker.observe.backlog import Backlog
from jetfleet.broker.observe.health import connected
from jetfleet.broker.observe.metrics_server import MetricsServer
from jetfleet.broker.topology import Topology
from jetfleet.broker.versions import deploy
from jetfleet.schemas.flow.definition import Flow

from ..fleet.conftest import start_server
from ..fleet.running import run
from ..fleet.trouble import until
from ..fleet.worker_processes import worker

RUNS = 20
FLOW = Flow.model_validate(
    {
        "name": "double",
        "triggers": [{"id": "go", "type": "manual"}],
        "nodes": {"a": {"type": "t.double"}, "b": {"type": "t.double"}},
        "edges": [{"from": "go", "to": "a"}, {"from": "a", "to": "b"}],
    }
)


async def page(server: MetricsServer) -> dict[tuple[str, ...], float]:
    """Sample name and label values → value."""
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/metrics") as answer:
        families = text_string_to_metric_families(await answer.text())
        return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def ready(server: MetricsServer) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as session, session.get(f"{server.url}/readyz") as answer:
        return answer.status, await answer.json()


def test_what_a_coordinator_does_is_on_its_page(tmp_path: Path) -> None:
    nats = start_server(tmp_path / "nats")

    async def test() -> None:
        async with (
            await Connection.open(nats.url, name="coordinator") as connection,
            await Connection.open(nats.url, name="control") as control,
        ):
            topology = Topology(partitions=2, store_bytes=1 << 30)
            await ensure(connection, topology)
            await deploy(connection, define(FLOW))
            coordinator = Coordinator(connection, control, CoordinatorSettings(topology=topology))
            counters = coordinator.counters
            conditions = {"nats": connected(connection), "partitions": lambda: coordinator.ready}
            server = MetricsServer("coordinator", [counters], conditions, Backlog(connection, cache_s=0))
            await server.start()
            await coordinator.start()
            await until(lambda: len(coordinator.owners) == 2 and not coordinator.ready, "both partitions to be recovered")
            for number in range(RUNS):
                await connection.publisher.publish("events.double.go", b'{"n": %d}' % number)
            found = await page(server)
            while found["jetfleet_tasks_emitted_total",] < RUNS:
                found = await page(server)
            assert found["jetfleet_events_taken_total",] == found["jetfleet_runs_started_total",] == RUNS
            assert found["jetfleet_open_runs", "0"] + found["jetfleet_open_runs", "1"] == RUNS
            assert (await ready(server)) == (200, {"ready": True, "reasons": {}})
            async with worker(nats.url, tmp_path / "worker"):
                while found["jetfleet_runs_ended_total", "completed"] < RUNS:
                    found = await page(server)
            assert found["jetfleet_tasks_emitted_total",] == 2 * RUNS
            assert found["jetfleet_records_folded_total",] == 3 * RUNS
            assert found["jetfleet_open_runs", "0"] + found["jetfleet_open_runs", "1"] == 0
            assert found["jetfleet_tasks_waiting", "default"] == found["jetfleet_events_waiting", "double"] == 0
            nats.kill()
            status, body = await ready(server)
            while status == 200:
                status, body = await ready(server)
            assert body["reasons"]["nats"] == "not connected to the NATS server"
            nats.restart()
            while status != 200:
                status, body = await ready(server)
            await coordinator.stop()
            await server.stop()

    try:
        run(test())
    finally:
        nats.stop()
