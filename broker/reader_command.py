"""`jetfleet reader`: the read model in this process."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click
import structlog

from . import loop
from .cli.options import credentials_option, nats_option
from .client import Connection
from .credentials import Credentials
from .deployment import joined
from .fleet.membership import READER, Membership
from .observe import logs
from .observe.counters import ReaderCounters
from .observe.health import connected
from .observe.observed import Observed, observed
from .read_model.reader import Reader

log = structlog.get_logger("jetfleet.reader")


@click.command("reader", short_help="Keep the list of all runs, and answer questions about them.")
@nats_option
@credentials_option
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path(".jetfleet"), show_default=True, help="Folder of the read model's file."
)
@click.option("--rebuild", is_flag=True, help="Throw the file away and feed it anew; questions are answered meanwhile.")
@observed
def reader_command(url: str, credentials: Credentials | None, data: Path, rebuild: bool, watch: Observed) -> None:
    """Keep the list of all runs, and answer questions about them.

    Needed for `jetfleet runs`, and for nothing else: flows run without it. What it keeps can be built anew at any time.
    """
    watch.configure_logs(READER)
    loop.run(_read(url, credentials, data, rebuild, watch))


async def _read(url: str, credentials: Credentials | None, data: Path, rebuild: bool, watch: Observed) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with await Connection.open(url, name="jetfleet-reader", credentials=credentials) as connection:
        deployed = await joined(connection)
        reader = Reader(connection, deployed.partitions, data, rebuild=rebuild)
        membership = Membership(connection, READER)
        logs.name_process(READER, membership.id)
        conditions = {"nats": connected(connection), "runs": lambda: "" if reader.ready else "still reading what was there before"}
        try:
            async with watch.serving(READER, [_counters(reader)], conditions):
                await reader.start()
                await membership.start()
                log.info("reader is up", file=str(reader.store.database.path), rebuild=rebuild)
                await stop.wait()
                await membership.stop()
        finally:
            await reader.stop()


def _counters(reader: Reader) -> ReaderCounters:
    """What the metrics page asks of the reader when it is looked at."""
    counters, follower = ReaderCounters(), reader.follower
    counters.messages = lambda: follower.written
    counters.rows = lambda: follower.rows
    counters.refused = lambda: follower.refused
    counters.backlog = lambda: follower.backlog
    counters.positions = lambda: dict(follower.positions)
    return counters
