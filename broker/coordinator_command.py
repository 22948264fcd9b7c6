"""`jetfleet coordinator`: one coordinator in this process."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import click
import structlog

from . import loop
from .client import Connection
from .coordinator.coordinator import Coordinator, CoordinatorSettings
from .topology import Topology

URL_DEFAULT = "nats://127.0.0.1:4222"
log = structlog.get_logger("jetfleet.coordinator")


@click.command("coordinator", short_help="Turn events into runs, and records into tasks.")
@click.option("--nats", "url", envvar="JETFLEET_NATS", default=URL_DEFAULT, show_default=True, help="The servers.")
@click.option("--partitions", type=click.IntRange(1), help="How many partitions a new deployment gets; fixed from then on.")
@click.option("--replicas", type=click.IntRange(1), help="Copies of each stream in a cluster: 1, 3 or 5.")
def coordinator_command(url: str, partitions: int | None, replicas: int | None, **options: Any) -> None:
    """Turn events into runs, and what happens to runs into tasks. Start as many as you like: they share the partitions."""
    topology = Topology(partitions=partitions, replicas=replicas)
    loop.run(_coordinate(CoordinatorSettings(url=url, topology=topology)))


async def _coordinate(settings: CoordinatorSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await Connection.open(settings.url, name="jetfleet-coordinator") as connection:
        coordinator = Coordinator(connection, settings)
        await coordinator.start()
        log.info("coordinator is up", id=coordinator.membership.id, partitions=coordinator.partitions)
        await stop.wait()
        await coordinator.stop()
