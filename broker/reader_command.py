"""`jetfleet reader`: the read model in this process."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import structlog

from . import loop
from .cli.options import credentials_option, nats_option, servers
from .client import Connection
from .deployment import ensure
from .fleet.membership import READER, Membership
from .read_model.reader import Reader
from .topology import Topology

log = structlog.get_logger("jetfleet.reader")


@click.command("reader", short_help="Keep the list of all runs, and answer questions about them.")
@nats_option
@credentials_option
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path(".jetfleet"), show_default=True, help="Folder of the read model's file."
)
@click.option("--rebuild", is_flag=True, help="Throw the file away and feed it anew; questions are answered meanwhile.")
def reader_command(url: str, credentials: str | None, data: Path, rebuild: bool) -> None:
    """Keep the list of all runs, and answer questions about them.

    Needed for `jetfleet runs`, and for nothing else: flows run without it. What it keeps can be built anew at any time.
    """
    loop.run(_read(url, credentials, data, rebuild))


async def _read(url: str, credentials: str | None, data: Path, rebuild: bool) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await Connection.open(servers(url), name="jetfleet-reader", credentials=credentials) as connection:
        deployed = await ensure(connection, Topology())
        reader = Reader(connection, deployed.partitions, data, rebuild=rebuild)
        membership = Membership(connection, READER)
        try:
            await reader.start()
            await membership.start()
            log.info("reader is up", id=membership.id, file=str(reader.store.database.path), rebuild=rebuild)
            await stop.wait()
            await membership.stop()
        finally:
            await reader.stop()
