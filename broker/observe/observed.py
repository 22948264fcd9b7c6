"""The options about logs and metrics that every process of a fleet has, and what they mean.

    @click.command("worker")
    @observed
    def worker_command(watch: Observed, …) -> None:
        watch.configure_logs("worker")
        …
        async with watch.serving("worker", [counters], {"nats": connected(connection)}):
            …

`observed` gives a command the options and, as `watch`, what was said.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from . import logs

if TYPE_CHECKING:
    from .backlog import Backlog
    from .metrics_server import MetricsServer

Command = TypeVar("Command", bound=Callable[..., Any])
HOST_DEFAULT = "127.0.0.1"
PORT_MAX = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """`metrics_port` 0: no metrics server."""

    log_level: str = "info"
    log_format: logs.Form = "auto"
    metrics_port: int = 0
    metrics_host: str = HOST_DEFAULT

    def configure_logs(self, role: str) -> None:
        """Do this before anything is logged; `logs.name_process` adds the process's id once it has one."""
        logs.configure(self.log_level, self.log_format, role)

    @asynccontextmanager
    async def serving(
        self,
        role: str,
        counters: Sequence[object] = (),
        conditions: Mapping[str, Callable[[], str]] | None = None,
        backlog: Backlog | None = None,
    ) -> AsyncIterator[MetricsServer | None]:
        """Serve metrics and health while the block runs: enter it before the work starts, so that /readyz says what it waits for.

        Raises CannotServeMetrics.
        """
        if not self.metrics_port:
            yield None
            return
        from .metrics_server import MetricsServer  # it takes 0.1 s to load: only where there is one

        server = MetricsServer(role, counters, conditions, backlog, self.metrics_host, self.metrics_port)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


_OPTIONS = (
    click.option(
        "--log-level", type=click.Choice(list(logs.LEVELS)), envvar="JETFLEET_LOG_LEVEL", default="info", show_default=True,
        help="The least that is logged.",
    ),
    click.option(
        "--log-format", type=click.Choice(logs.FORMS), envvar="JETFLEET_LOG_FORMAT", default="auto", show_default=True,
        help="One JSON object per line, or for people. auto: for people on a terminal.",
    ),
    click.option(
        "--metrics-port", type=click.IntRange(0, PORT_MAX), envvar="JETFLEET_METRICS_PORT", default=0, show_default=True, metavar="PORT",
        help="Serve /metrics, /healthz and /readyz here; 0: do not.",
    ),
    click.option(
        "--metrics-host", envvar="JETFLEET_METRICS_HOST", default=HOST_DEFAULT, show_default=True, metavar="ADDRESS",
        help="The address to serve them on; 0.0.0.0 lets other machines in.",
    ),
)  # fmt: skip


def observed(command: Command) -> Command:
    """Give a command the four options; its function gets them as `watch`."""

    @functools.wraps(command)
    def with_options(*args: Any, log_level: str, log_format: logs.Form, metrics_port: int, metrics_host: str, **kwargs: Any) -> Any:
        watch = Observed(log_level=log_level, log_format=log_format, metrics_port=metrics_port, metrics_host=metrics_host)
        return command(*args, watch=watch, **kwargs)

    for option in reversed(_OPTIONS):
        option(with_options)
    return cast(Command, with_options)
