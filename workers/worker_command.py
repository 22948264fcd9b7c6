"""`jetfleet worker`: one worker in this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ..broker.cli.arena_options import ArenaOptions, with_arena
from ..broker.cli.options import credentials_option, nats_option
from ..broker.credentials import Credentials
from ..broker.observe.observed import Observed, observed
from ..schemas.subjects import QUEUE_DEFAULT
from . import loop
from .fleet.settings import CONCURRENCY_DEFAULT, STOP_DEADLINE_S, WorkerSettings
from .nodes_command import load_nodes


@click.command("worker", short_help="Execute tasks.")
@nats_option
@credentials_option
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", default=(QUEUE_DEFAULT,), help="Take tasks of this queue. Repeatable.")
@click.option("--concurrency", type=click.IntRange(1), default=CONCURRENCY_DEFAULT, show_default=True,
              help="Attempts that execute at once.")  # fmt: skip
@click.option("--processes", type=click.IntRange(1), metavar="N", help="Processes for nodes of mode `process`. Default: one per core.")
@click.option("--data", type=click.Path(path_type=Path), default=Path(".jetfleet"), show_default=True,
              help="Folder of the in-flight ledger.")  # fmt: skip
@click.option("--slot", metavar="NAME", help="Take the place of the worker that ran here under this name. Default: the first free one.")
@click.option("--stop-within", "stop_s", type=click.FloatRange(0), default=STOP_DEADLINE_S, show_default=True, metavar="SECONDS",
              help="How long a planned end waits for attempts that are being executed.")  # fmt: skip
@click.option("--reload", is_flag=True, help="Start anew when a file with own nodes changes. For development.")
@with_arena
@observed
@click.pass_context
def worker_command(
    context: click.Context,
    /,
    watch: Observed,
    url: str,
    credentials: Credentials | None,
    nodes: tuple[str, ...],
    queues: tuple[str, ...],
    concurrency: int,
    processes: int | None,
    data: Path,
    slot: str | None,
    stop_s: float,
    reload: bool,
    arena: ArenaOptions,
) -> None:
    """Execute tasks. Start as many workers as you like, on as many machines: they share their queues.

    \b
    jetfleet worker --nodes shop/nodes.py
    jetfleet worker --nodes shop.nodes --queue gpu --concurrency 2

    SIGTERM or Ctrl-C lets it finish what it has in work; a second one gives that back at once.
    """
    from .fleet.process import work  # here: it loads the NATS client, which `run` and `nodes` need not wait for
    from .fleet.reload import SourceWatch

    watch.configure_logs("worker")
    settings = WorkerSettings(
        url=url, credentials=credentials, queues=tuple(dict.fromkeys(queues)), concurrency=concurrency,
        processes=processes or os.cpu_count() or 1, data=data, slot=slot, arena=arena.settings(data),
    )  # fmt: skip
    registry = load_nodes(nodes)
    if loop.run(work(settings, registry, watch, stop_s, SourceWatch(registry) if reload else None)):
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    context.exit(0)
