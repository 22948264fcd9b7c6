"""`jetfleet coordinator`: one coordinator in this process."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import structlog

from . import loop
from .cli.options import credentials_option, nats_option
from .client import Connection
from .coordinator.coordinator import Coordinator, CoordinatorSettings
from .credentials import Credentials
from .garbage import freeze_what_lasts
from .observe import logs, otel
from .observe.backlog import Backlog
from .observe.health import connected
from .observe.observed import Observed, observed
from .topology import Topology

log = structlog.get_logger("jetfleet.coordinator")


@click.command("coordinator", short_help="Turn events into runs, and records into tasks.")
@nats_option
@credentials_option
@click.option("--partitions", type=click.IntRange(1), metavar="N", help="Partitions of a new deployment, fixed from then on. Default: 4.")
@click.option("--replicas", type=click.IntRange(1), metavar="N", help="Copies of each stream in a cluster: 1, 3 or 5. Default: 1.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path(".jetfleet"), show_default=True, help="Folder of the high-water mark."
)
@observed
def coordinator_command(
    url: str, credentials: Credentials | None, partitions: int | None, replicas: int | None, data: Path, watch: Observed
) -> None:
    """Turn events into runs, and what happens to runs into tasks. Start as many as you like: they share the partitions."""
    watch.configure_logs("coordinator")
    settings = CoordinatorSettings(topology=Topology(partitions=partitions, replicas=replicas), data=data)
    freeze_what_lasts()
    loop.run(_coordinate(url, credentials, settings, watch))


async def _coordinate(url: str, credentials: Credentials | None, settings: CoordinatorSettings, watch: Observed) -> None:
    """Run until SIGTERM or SIGINT. Raises JetfleetError if it may not go on."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with (
        await Connection.open(url, name="jetfleet-coordinator", credentials=credentials) as connection,
        await Connection.open(url, name="jetfleet-coordinator-control", credentials=credentials) as control,
    ):
        telemetry = otel.set_up("coordinator")
        coordinator = Coordinator(connection, control, settings, telemetry.tracing)
        conditions = {"nats": connected(connection), "partitions": lambda: coordinator.ready}
        async with watch.serving("coordinator", [coordinator.counters, coordinator.trigger_counters], conditions, Backlog(control)):
            await coordinator.start()
            logs.name_process("coordinator", coordinator.membership.id)
            log.info("coordinator is up", partitions=coordinator.partitions)
            coordinator.failed.add_done_callback(lambda failed: stop.set())
            await stop.wait()
            await coordinator.stop()
        await telemetry.close()
        if coordinator.failed.done():
            raise coordinator.failed.result()
