"""`jetfleet up FLOWS_DIR`: a whole fleet on this machine, with the flows of a folder, until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from pathlib import Path

import click

from ..broker.cli.arena_options import ArenaOptions, with_arena
from ..broker.observe import logs
from ..broker.server.settings import PORT_DEFAULT
from . import loop
from .nodes_command import load_nodes
from .up.fleet import FleetSettings, LocalFleet
from .up.folder import FlowFolder
from .up.screen import screen


@click.command("up", short_help="Run a whole fleet on this machine.")
@click.argument("flows", type=click.Path(exists=True, path_type=Path), metavar="FLOWS_DIR")
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", help="A queue that the workers take tasks from. Default: default.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Worker processes.")
@click.option("--coordinators", type=click.IntRange(1), default=1, show_default=True, help="Coordinator processes.")
@click.option("--partitions", type=click.IntRange(1), metavar="N", help="Partitions of a new deployment, fixed from then on.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="JETFLEET_DATA",
    default=Path(".jetfleet"),
    show_default=True,
    help="Where all data lies.",
)
@click.option("--ephemeral", is_flag=True, help="Keep no data: a temporary folder that goes with the fleet.")
@click.option("--port", type=int, default=PORT_DEFAULT, show_default=True, help="The server's port; 0 is a free one.")
@click.option("--watch", is_flag=True, help="Deploy flows again when their files change, and load own nodes anew. For development.")
@click.option(
    "--log-level", type=click.Choice(list(logs.LEVELS)), default="warn", show_default=True, help="Least level of the processes' log."
)
@click.option("--no-triggers", is_flag=True, help="Start no process for triggers that need a port, a folder or a broker.")
@with_arena
def up_command(
    flows: Path,
    nodes: tuple[str, ...],
    queues: tuple[str, ...],
    workers: int,
    coordinators: int,
    partitions: int | None,
    data: Path,
    ephemeral: bool,
    port: int,
    watch: bool,
    log_level: str,
    no_triggers: bool,
    arena: ArenaOptions,
) -> None:
    """Run server, coordinators, workers, a reader and triggers, deploy all flows of a folder, and say how to send the first event.

    \b
    jetfleet up flows/
    jetfleet up flows/ --nodes shop.py --workers 4 --watch

    It stops in order: what is being executed is finished, and what is open goes on with the next `jetfleet up`.
    """
    logs.configure(log_level)
    load_nodes(nodes)  # here, so that a mistake in them is one error and not one per worker
    settings = FleetSettings(
        data=None if ephemeral else data,
        port=port,
        coordinators=coordinators,
        workers=workers,
        partitions=partitions,
        nodes=nodes,
        queues=queues,
        reload=watch,
        log_level=log_level,
        arena=tuple(arena.words()),
        arena_folder=arena.folder,
        triggers=not no_triggers,
    )
    loop.run(_up(LocalFleet(settings), FlowFolder(flows, nodes), watch))


async def _up(fleet: LocalFleet, folder: FlowFolder, watch: bool) -> None:
    stopping = asyncio.Event()
    here = asyncio.current_task()
    assert here is not None

    def stop() -> None:
        """The first time in order, the second time at once."""
        fleet.kill() if stopping.is_set() else here.cancel()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        async with fleet:
            await folder.deploy(fleet.client)
            await fleet.triggers_up()
            click.echo(screen(fleet, await fleet.trigger_views(), folder.absent(fleet.client)))
            await asyncio.gather(fleet.server.wait(), *([folder.watch(fleet.client)] if watch else []))
    click.echo("stopped", err=True)
