"""`jetfleet worker`: one worker in this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import click
import structlog

from ..broker.client import Connection
from ..schemas.subjects import QUEUE_DEFAULT
from . import logs, loop
from .fleet.reload import SourceWatch
from .fleet.settings import CONCURRENCY_DEFAULT, STOP_DEADLINE_S, URL_DEFAULT, WorkerSettings
from .fleet.worker import Worker
from .nodes_command import load_nodes
from .registry import Registry

log = structlog.get_logger("jetfleet.worker")


@click.command("worker", short_help="Execute tasks.")
@click.option("--nats", "url", envvar="JETFLEET_NATS", metavar="URL", default=URL_DEFAULT, show_default=True, help="The servers.")
@click.option("--credentials", metavar="FILE", type=click.Path(exists=True, dir_okay=False), help="A NATS credentials file.")
@click.option("--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable.")
@click.option("--queue", "queues", multiple=True, metavar="NAME", default=(QUEUE_DEFAULT,), help="Take tasks of this queue. Repeatable.")
@click.option(
    "--concurrency", type=click.IntRange(1), default=CONCURRENCY_DEFAULT, show_default=True, help="Attempts that execute at once."
)
@click.option("--processes", type=click.IntRange(1), metavar="N", help="Processes for nodes of mode `process`. Default: one per core.")
@click.option(
    "--data", type=click.Path(path_type=Path), default=Path(".jetfleet"), show_default=True, help="Folder of the in-flight ledger."
)
@click.option("--slot", metavar="NAME", help="Take the place of the worker that ran here under this name. Default: the first free one.")
@click.option("--stop-within", "stop_s", type=click.FloatRange(0), default=STOP_DEADLINE_S, show_default=True, metavar="SECONDS",
              help="How long a planned end waits for attempts that are being executed.")  # fmt: skip
@click.option("--reload", is_flag=True, help="Start anew when a file with own nodes changes. For development.")
@click.option("--log-level", type=click.Choice(list(logs.LEVELS)), default="info", show_default=True, help="Least level of the log.")
@click.option("--log-format", type=click.Choice(["auto", "json", "pretty"]), default="auto", show_default=True,
              help="One JSON object per line, or for people. auto: for people on a terminal.")  # fmt: skip
@click.pass_context
def worker_command(
    context: click.Context,
    /,
    url: str,
    credentials: str | None,
    nodes: tuple[str, ...],
    queues: tuple[str, ...],
    concurrency: int,
    processes: int | None,
    data: Path,
    slot: str | None,
    stop_s: float,
    reload: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Execute tasks. Start as many workers as you like, on as many machines: they share their queues.

    \b
    jetfleet worker --nodes shop/nodes.py
    jetfleet worker --nodes shop.nodes --queue gpu --concurrency 2

    SIGTERM or Ctrl-C lets it finish what it has in work; a second one gives that back at once.
    """
    logs.configure(log_level, log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()))
    registry = load_nodes(nodes)
    settings = WorkerSettings(
        url=url, credentials=credentials, queues=tuple(dict.fromkeys(queues)), concurrency=concurrency,
        processes=processes or os.cpu_count() or 1, data=data, slot=slot,
    )  # fmt: skip
    again = loop.run(_work(settings, registry, stop_s, SourceWatch(registry) if reload else None))
    if again:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    context.exit(0)


async def _work(settings: WorkerSettings, registry: Registry, stop_s: float, watch: SourceWatch | None) -> bool:
    """Work until a signal, or until sources change: then True."""
    signals = _Signals()
    async with await Connection.open(settings.url, name="jetfleet-worker", credentials=settings.credentials) as connection:
        worker = Worker(connection, settings, registry)
        await worker.start()
        log.info("worker is up", id=worker.id, queues=list(settings.queues), slots=settings.concurrency, slot=worker.ledger.slot)
        again = await _first(signals.first, watch)
        await worker.quiet()
        log.info("worker takes no more tasks", in_work=len(worker.processor.units), reload=again)
        await _within(stop_s, worker, signals.second)
        await worker.stop(0)
    return again


class _Signals:
    """The first and the second SIGTERM or SIGINT. A third one ends the process on the spot."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._came, number)

    def _came(self, number: signal.Signals) -> None:
        if not self.first.is_set():
            self.first.set()
        elif not self.second.is_set():
            self.second.set()
        else:
            os._exit(128 + number)


async def _first(signalled: asyncio.Event, watch: SourceWatch | None) -> bool:
    """Wait for a signal or a change of the sources; whether it was a change."""
    if watch is None:
        await signalled.wait()
        return False
    signal_task, change_task = asyncio.create_task(signalled.wait()), asyncio.create_task(watch.changed())
    done, pending = await asyncio.wait({signal_task, change_task}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return signal_task not in done


async def _within(seconds: float, worker: Worker, hurry: asyncio.Event) -> None:
    """Wait for the worker to be idle, until time is up or somebody is in a hurry."""
    idle, hurried = asyncio.create_task(worker.idle()), asyncio.create_task(hurry.wait())
    _, pending = await asyncio.wait({idle, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.gather(*pending)
