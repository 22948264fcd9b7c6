"""`jetfleet runs list|watch|result`: which runs there are, and waiting for the end of one. The other commands are put together in runs.py.

0    done        1    there is no such run; for `watch` and `result`: it did not complete
"""

from __future__ import annotations

import asyncio
import time

import click

from ...schemas.cli import FAILED
from ..api import Client
from ..api.errors import UnknownFlow
from ..read_model.views import LIMIT_MAX, RunRow
from ..study.words import in_words
from .options import form_option, with_client
from .outcome import show_end
from .run_rows import pointing_into, show_runs
from .watching import print_outcome, waits, watch

ASKED_MAX = 100
"""Open runs of a list whose owners are asked what they wait for."""

run_argument = click.argument("run", metavar="RUN")
timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer than this; the run goes on."
)


@click.group("runs")
def runs_command() -> None:
    """Look at runs, and steer them."""


@runs_command.command("list")
@click.argument("where", default="", metavar="[FILTER]")
@click.option("--flow", metavar="NAME", help="Only runs of this flow.")
@click.option("--status", metavar="STATUS", help="Only runs in this status: running, paused, completed, failed, cancelled or killed.")
@click.option("--order", default="-started", show_default=True, help="started, ended or duration; with - in front the largest first.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="Runs at most.")
@form_option
@with_client
async def list_command(client: Client, where: str, flow: str | None, status: str | None, order: str, limit: int, form: str) -> None:
    """List runs, the latest first.

    \b
    jetfleet runs list 'status=failed and started > -1h and duration > 5s'
    jetfleet runs list --flow order --status running
    """
    rows: list[RunRow] = []
    cursor = ""
    with pointing_into(where):
        while len(rows) < limit:
            page = await client.runs(where, flow=flow, status=status, order=order, limit=min(limit - len(rows), LIMIT_MAX), cursor=cursor)
            rows += page.rows
            cursor = page.cursor
            if not cursor:
                break
    if not rows and flow is not None and flow not in client.flows.names():
        raise UnknownFlow(flow, client.flows.names())  # one that was undeployed has runs still
    show_runs(rows, form, await _waits(client, rows))


@runs_command.command("watch")
@run_argument
@timeout_option
@form_option
@with_client
async def watch_command(client: Client, run: str, timeout_s: float | None, form: str) -> int:
    """Follow a run until it ends, then show it."""
    result = await watch(client, await client.handle(await client.full_id(run)), timeout_s)
    await print_outcome(client, result, form)
    return 0 if result.completed else FAILED


@runs_command.command("result")
@run_argument
@timeout_option
@form_option
@with_client
async def result_command(client: Client, run: str, timeout_s: float | None, form: str) -> int:
    """Wait for a run's end and print its output or error."""
    result = await (await client.handle(await client.full_id(run))).result(timeout_s, fetch=False)
    show_end(result, form)
    return 0 if result.completed else FAILED


async def _waits(client: Client, rows: list[RunRow]) -> dict[str, list[str]]:
    """What the first open ones of them wait for, as their owners say: one question each."""
    open = [row.id for row in rows if row.ended_at is None][:ASKED_MAX]
    now_ms = time.time_ns() // 1_000_000
    views = await asyncio.gather(*map(client.look, open))
    return {view.run: [in_words(wait, now_ms) for wait in waits(view)] for view in views if view is not None}
