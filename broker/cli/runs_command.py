"""`jetfleet runs …`: look at runs and steer them.

0    done        1    there is no such run; for `watch` and `result`: it did not complete
"""

from __future__ import annotations

import time
from typing import Any

import click

from ...schemas.cli import FAILED
from ...schemas.errors import JetfleetError
from ..api import Client, RunHandle, UnknownRun
from ..engine import blocked_on
from ..read_model import questions
from ..read_model.views import LIMIT_MAX, RunRow
from .event_input import read_value
from .journal_lines import record_value, time_of_day
from .options import form_option, with_client
from .outcome import show, show_end
from .printing import as_json, as_text, moment, show_rows
from .waiting import in_words, span
from .watching import print_outcome, watch

COLUMNS = ("run_id", "flow", "status", "started", "took", "error")

run_argument = click.argument("run", metavar="RUN")
timeout_option = click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0), metavar="SECONDS", help="Wait no longer than this; the run goes on."
)
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why, for the run's journal.")


class RunEnded(JetfleetError):
    """A run that has ended takes nothing in any more."""

    code = "RUN_ENDED"


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
    while len(rows) < limit:
        page = await client.runs(where, flow=flow, status=status, order=order, limit=min(limit - len(rows), LIMIT_MAX), cursor=cursor)
        rows += page.rows
        cursor = page.cursor
        if not cursor:
            break
    show_rows([_as_json(row) if form == "json" else _as_cells(row) for row in rows], COLUMNS, form, "no such runs")


@runs_command.command("show")
@run_argument
@form_option
@with_client
async def show_command(client: Client, run: str, form: str) -> None:
    """Show a run: what its nodes did, how it ended, or what it waits for."""
    found = await client.show(run)
    waits = [] if found.state is None or found.state.ended else blocked_on(found.state)
    now_ms = time.time_ns() // 1_000_000
    if form == "json":
        click.echo(as_json({**found.as_value(), "waits": [in_words(wait, now_ms) for wait in waits]}))
        return
    show(found, form)
    for wait in waits:
        click.echo(f"waits: {in_words(wait, now_ms)}")


@runs_command.command("history")
@run_argument
@form_option
@with_client
async def history_command(client: Client, run: str, form: str) -> None:
    """Show a run's journal: every record that it took in, in order."""
    found = await client.show(run)
    assert found.state is not None
    values = [record_value(number, record, found.state.plan) for number, record in enumerate(found.journal)]
    rows = values if form == "json" else [_record_cells(value) for value in values]
    show_rows(rows, ("record", "at", "kind", "says"), form)


@runs_command.command("watch")
@run_argument
@timeout_option
@form_option
@with_client
async def watch_command(client: Client, run: str, timeout_s: float | None, form: str) -> int:
    """Follow a run until it ends, then show it."""
    result = await watch(client, await _known(client, run), timeout_s)
    await print_outcome(client, result, form)
    return 0 if result.completed else FAILED


@runs_command.command("result")
@run_argument
@timeout_option
@form_option
@with_client
async def result_command(client: Client, run: str, timeout_s: float | None, form: str) -> int:
    """Wait for a run's end and print its output or error."""
    result = await (await _known(client, run)).result(timeout_s, fetch=False)
    show_end(result, form)
    return 0 if result.completed else FAILED


@runs_command.command("signal")
@run_argument
@click.argument("name")
@click.argument("value", default="null", metavar="JSON|@FILE")
@click.option("--id", "key", default="", metavar="KEY", help="The same key again is the same signal.")
@with_client
async def signal_command(client: Client, run: str, name: str, value: str, key: str) -> None:
    """Send a signal, or the answer to an approval; it is kept if the run does not wait for it yet.

    \b
    jetfleet runs signal order-1f… order-7 '{"decision": "approve"}'
    """
    given = read_value(value, "the value")
    await _open(client, run)
    await client.signal(run, name, given, id=key)


@runs_command.command("cancel")
@run_argument
@reason_option
@with_client
async def cancel_command(client: Client, run: str, reason: str) -> None:
    """End a run, with its compensations."""
    await _open(client, run)
    await client.cancel(run, reason)


@runs_command.command("kill")
@run_argument
@reason_option
@with_client
async def kill_command(client: Client, run: str, reason: str) -> None:
    """End a run without compensations."""
    await _open(client, run)
    await client.kill(run, reason)


@runs_command.command("pause")
@run_argument
@reason_option
@with_client
async def pause_command(client: Client, run: str, reason: str) -> None:
    """Start nothing new in a run; timers are held."""
    await _open(client, run)
    await client.pause(run, reason)


@runs_command.command("resume")
@run_argument
@with_client
async def resume_command(client: Client, run: str) -> None:
    """Let a paused run go on."""
    await _open(client, run)
    await client.resume(run)


async def _known(client: Client, run: str) -> RunHandle:
    """Raises UnknownRun: nobody would ever tell of its end."""
    if await client.look(run) is None and await client.outcome(run, has_ended=True) is None and not await _listed(client, run):
        raise UnknownRun(run)
    return await client.handle(run)


async def _open(client: Client, run: str) -> None:
    """Raises RunEnded, UnknownRun: what is written for such a run is lost on it, and whoever wrote it should know."""
    if await client.look(run) is not None:
        return
    result = await client.outcome(run, has_ended=True)
    if result is not None:
        raise RunEnded(f"run {run} has {result.status} already; it takes nothing in any more")
    if not await _listed(client, run):
        raise UnknownRun(run)


async def _listed(client: Client, run: str) -> bool:
    return await questions.run(client.connection, run) is not None


def _as_json(row: RunRow) -> dict[str, Any]:
    error = None if row.error_type is None else {"type": row.error_type, "message": row.error_message}
    return {
        "run_id": row.id, "flow": row.flow, "version": row.version, "digest": row.digest, "status": row.status, "trigger": row.trigger,
        "started_at": row.started_at, "ended_at": row.ended_at, "duration_ms": row.duration_ms, "error": error, "parent": row.parent,
        "records": row.records,
    }  # fmt: skip


def _as_cells(row: RunRow) -> dict[str, Any]:
    error = "" if row.error_type is None else f"{row.error_type}: {row.error_message}"
    took = "" if row.duration_ms is None else span(row.duration_ms)
    return {"run_id": row.id, "flow": row.flow, "status": row.status, "started": moment(row.started_at), "took": took, "error": error}


def _record_cells(value: dict[str, Any]) -> dict[str, Any]:
    number, at, kind, *names = value
    says = "  ".join(f"{name}={value[name] if isinstance(value[name], str) else as_text(value[name])}" for name in names)
    return {number: str(value[number]), at: time_of_day(value[at]), kind: value[kind], "says": says}
