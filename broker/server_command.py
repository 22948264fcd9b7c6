"""`jetfleet server`: the embedded server in the foreground. Ctrl-C or SIGTERM stops it, with exit code 0."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import click

from ..schemas.sizes import size_text
from . import loop
from .cli.permissions_command import permissions_command
from .cli.sizes import size
from .observe import logs
from .server import EmbeddedServer, ServerSettings
from .server.binary import find_binary
from .server.config import config_text
from .server.folder import Folder
from .server.settings import PORT_DEFAULT, SYNC_ALWAYS
from .server.users import users_text

DATA_DEFAULT = ".jetfleet"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("server", invoke_without_command=True, short_help="Run the fleet's server here.")
@click.option(
    "--data", type=click.Path(path_type=Path), envvar="JETFLEET_DATA", default=DATA_DEFAULT, show_default=True, help="Where its data lies."
)
@click.option("--ephemeral", is_flag=True, help="Keep no data: a temporary folder that goes with the server.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 lets other machines in.")
@click.option("--port", type=int, default=PORT_DEFAULT, show_default=True, help="The port for clients; 0 is a free one.")
@click.option(
    "--monitor-port", type=int, default=0, show_default=True, help="The port that tells of its state, on 127.0.0.1 only; 0 is a free one."
)
@click.option(
    "--sync", default=SYNC_ALWAYS, show_default=True, help="When data reaches the disk: `always` before it is acknowledged, or every 1s."
)
@click.option(
    "--max-store",
    "store_bytes",
    metavar="SIZE",
    callback=size,
    help="What the data may grow to, like 10GB. Default: all but a reserve of the disk.",
)
@click.option(
    "--token", envvar="JETFLEET_SERVER_TOKEN", help="What clients must present. Better said by the variable: others can read command lines."
)
@click.option("--users", type=_FILE, envvar="JETFLEET_SERVER_USERS",
              help="A file with users and what each may do; see `jetfleet server permissions`.")  # fmt: skip
@click.option("--tls-cert", type=_FILE, help="The server's certificate: nothing is spoken in clear then.")
@click.option("--tls-key", type=_FILE, help="Its key.")
@click.option("--tls-ca", type=_FILE, help="Clients must show a certificate that one of these vouches for.")
@click.option("--config-only", is_flag=True, help="Print the configuration for nats-server and start nothing.")
@click.option("--log-level", type=click.Choice(list(logs.LEVELS)), default="info", show_default=True, help="Least level of the log.")
@click.pass_context
def server_command(context: click.Context, /, data: Path, ephemeral: bool, config_only: bool, log_level: str, **options: Any) -> None:
    """Run a NATS server with JetStream, all that a fleet needs, until Ctrl-C.

    It comes back by itself when it dies, and ends with this process.
    """
    if context.invoked_subcommand is not None:
        return
    logs.configure(log_level, "auto", "server")
    settings = ServerSettings(data=None if ephemeral else data, **options)
    if config_only:
        folder = Folder(data)
        text = config_text(settings, folder.path, folder.room_bytes(settings.store_bytes), find_binary().version)
        click.echo(text + users_text(settings.users), nl=False)
    else:
        loop.run(_serve(settings))


server_command.add_command(permissions_command)


async def _serve(settings: ServerSettings) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        async with EmbeddedServer(settings) as server:
            click.echo(screen(server))
            await server.wait()
    except asyncio.CancelledError:
        click.echo("server   stopped", err=True)


def screen(server: EmbeddedServer) -> str:
    """What is good to know of a server that runs."""
    settings = server.settings
    kept = "gone with the server" if settings.data is None else "kept"
    sync = "on disk before it is acknowledged" if settings.sync == SYNC_ALWAYS else f"a power cut loses up to {settings.sync}"
    lines = {
        "server": f"{server.url.partition('://')[0]}://{server.address}   nats-server {server.version}, pid {server.pid}",
        "data": f"{server.data}   {kept}",
        "store": f"up to {size_text(server.store_bytes)}   {sync} (--sync {settings.sync})",
        "monitor": server.monitor_url,
    }
    return "\n".join(f"{name:<8} {text}" for name, text in lines.items()) + "\nCtrl-C stops it."
