"""`jetfleet trigger serve`: the triggers that need a port, a folder or a broker, in this process."""

from __future__ import annotations

from pathlib import Path

import click

from ...broker.cli.arena_folder import IN_DATA
from ...broker.cli.arena_options import arena_option
from ...broker.cli.options import credentials_option, nats_option
from ...broker.credentials import Credentials
from ...broker.loop import run
from ...broker.observe.observed import Observed, observed
from ...broker.triggers.catalogue import COORDINATORS, OUTSIDE
from ...schemas.errors import UsageError

TYPES = (*OUTSIDE, *COORDINATORS)


@click.command("serve", short_help="Serve triggers in this process.")
@click.option("--type", "types", type=click.Choice(TYPES), multiple=True, metavar="TYPE",
              help=f"Serve triggers of this type. Repeatable. Default: {', '.join(OUTSIDE)}.")  # fmt: skip
@click.option("--flow", "flows", multiple=True, metavar="NAME", help="Serve only triggers of this flow. Repeatable.")
@click.option("--data", type=click.Path(path_type=Path), envvar="JETFLEET_DATA", default=Path(".jetfleet"), show_default=True,
              help="Folder of what triggers remember.")  # fmt: skip
@arena_option
@click.option("--http", metavar="HOST:PORT", help="Let manual triggers be called over HTTP here.")
@click.option("--http-token", envvar="JETFLEET_TRIGGER_TOKEN", default="", metavar="TEXT",
              help="What such callers must bring, as `Authorization: Bearer …`. Needed where other machines can call.")  # fmt: skip
@nats_option
@credentials_option
@observed
def serve_command(
    watch: Observed,
    types: tuple[str, ...],
    flows: tuple[str, ...],
    data: Path,
    arena: Path | None,
    http: str | None,
    http_token: str,
    url: str,
    credentials: Credentials | None,
) -> None:
    """Serve the triggers of deployed flows that need a port, a folder or a broker: webhook, filesystem, kafka, manual and memory.

    \b
    jetfleet trigger serve
    jetfleet trigger serve --type webhook --flow orders --http 127.0.0.1:8090

    Start as many as you like, as far as ports allow: the same firing from two of them is one run. SIGTERM or Ctrl-C lets it end in order.
    Cron and queue triggers are served by every coordinator.
    """
    from ..calls import CallSettings  # here: they load the client and a web server, which the other commands need not wait for
    from ..process import ServeSettings, serve

    watch.configure_logs("trigger")
    calls = None
    if http is not None:
        host, port = _address(http)
        calls = CallSettings(host=host, port=port, token=http_token)
    settings = ServeSettings(
        url=url, credentials=credentials, types=tuple(dict.fromkeys(types)) or OUTSIDE, flows=tuple(dict.fromkeys(flows)), data=data,
        arena=arena or data / IN_DATA, calls=calls,
    )  # fmt: skip
    run(serve(settings, watch))


def _address(text: str) -> tuple[str, int]:
    """Of `127.0.0.1:8090` or `[::1]:8090` host and port. Raises UsageError."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise UsageError(f"--http {text!r} is no address; write HOST:PORT, such as 127.0.0.1:8090")
    return host.strip("[]") or "127.0.0.1", int(port)
