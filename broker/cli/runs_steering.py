"""`jetfleet runs cancel|kill|pause|resume|signal|retry|fork`: one run by its id, or all that a filter lets through.

0    done, or there was nothing to do        1    refused, or it could not be done for all        2    the call makes no sense

Guarantees: what makes no sense for a run as it is (it has ended, it is paused already) is said, and nothing is written then.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from ...schemas.errors import UsageError
from ..api import Client
from ..api.bulk import CONCURRENCY
from ..api.reopening import Report
from ..api.standing import refusal
from .bulk_work import SHOWN_MAX, Wish, tell_many
from .event_input import read_value
from .options import form_option, with_client
from .printing import as_json, note
from .runs_command import runs_command

TOLD = {
    "cancel": "is told to end", "kill": "is told to end at once", "pause": "is told to pause", "resume": "is told to go on",
    "signal": "is sent the signal", "retry": "is told to go on where it failed",
}  # fmt: skip

one_argument = click.argument("run", metavar="[RUN]", required=False)
reason_option = click.option("--reason", default="", metavar="TEXT", help="Why, for the run's journal.")
many_options = (
    click.option("--where", metavar="FILTER", help="All runs that this filter lets through, instead of one RUN."),
    click.option("--dry-run", is_flag=True, help="With --where: only count the runs, and show the first ten."),
    click.option("-y", "--yes", is_flag=True, help="With --where: do not ask before."),
    click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="With --where: so many runs per second at most."),
    click.option(
        "--concurrency", type=click.IntRange(1, 1000), default=CONCURRENCY, show_default=True, help="With --where: so many runs at once."
    ),
    form_option,
)


def one_or_many(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a verb that one run, or many, can be told; the command gets them as its `wish`."""

    @functools.wraps(command)
    def wished(*args: Any, **given: Any) -> None:
        wish = Wish(**{name: given.pop(name) for name in Wish.__dataclass_fields__})
        command(*args, wish=wish, **given)

    for option in reversed(many_options):
        wished = option(wished)
    return wished


@runs_command.command("cancel")
@one_argument
@reason_option
@one_or_many
@with_client
async def cancel_command(client: Client, run: str | None, reason: str, wish: Wish) -> int:
    """End runs, with their compensations.

    \b
    jetfleet runs cancel order-1f… --reason 'wrong price list'
    jetfleet runs cancel --where 'flow=order and status=open and started > -1h'
    """
    return await _tell(client, "cancel", run, wish, reason=reason)


@runs_command.command("kill")
@one_argument
@reason_option
@one_or_many
@with_client
async def kill_command(client: Client, run: str | None, reason: str, wish: Wish) -> int:
    """End runs without compensations."""
    return await _tell(client, "kill", run, wish, reason=reason)


@runs_command.command("pause")
@one_argument
@reason_option
@one_or_many
@with_client
async def pause_command(client: Client, run: str | None, reason: str, wish: Wish) -> int:
    """Start nothing new in runs; timers are held."""
    return await _tell(client, "pause", run, wish, reason=reason)


@runs_command.command("resume")
@one_argument
@one_or_many
@with_client
async def resume_command(client: Client, run: str | None, wish: Wish) -> int:
    """Let paused runs go on."""
    return await _tell(client, "resume", run, wish)


@runs_command.command("retry")
@one_argument
@reason_option
@one_or_many
@with_client
async def retry_command(client: Client, run: str | None, reason: str, wish: Wish) -> int:
    """Let runs that failed, or were cancelled, go on where that happened; what has completed stays.

    \b
    jetfleet runs retry --where 'flow=order and status=failed and error ~ timeout' --rate 50
    """
    return await _tell(client, "retry", run, wish, reason=reason)


@runs_command.command("fork")
@one_argument
@click.option(
    "--from", "node", required=True, metavar="NODE", help="This node is executed again, and what comes after it: charge, or charge[2]."
)
@click.option(
    "--set", "values", multiple=True, metavar="PATH=JSON", help="Change the input, or a node's output: trigger.amount=5; repeatable."
)
@click.option("--id", "key", default="", metavar="KEY", help="The same key again is the same fork.")
@click.option(
    "--version",
    type=click.Choice(["same", "current"]),
    default="same",
    show_default=True,
    help="Of the flow: the run's or the current one.",
)
@reason_option
@one_or_many
@with_client
async def fork_command(
    client: Client, run: str | None, node: str, values: tuple[str, ...], key: str, version: str, reason: str, wish: Wish
) -> int:
    """Begin a new run from a node of another one, which stays as it is. Prints the new run's id.

    \b
    jetfleet runs fork order-1f… --from charge --set trigger.amount=5
    """
    changes = dict(map(_change, values))
    options: dict[str, Any] = {"node": node, "set": changes, "version": version, "reason": reason, "id": key}
    return await _tell(client, "fork", run, wish, **options)


@runs_command.command("signal")
@click.argument("words", nargs=-1, metavar="[RUN] NAME [JSON|@FILE]")
@click.option("--id", "key", default="", metavar="KEY", help="The same key again is the same signal.")
@one_or_many
@with_client
async def signal_command(client: Client, words: tuple[str, ...], key: str, wish: Wish) -> int:
    """Send a signal, or the answer to an approval; it is kept if the run does not wait for it yet.

    \b
    jetfleet runs signal order-1f… paid '{"amount": 3}'
    jetfleet runs signal --where 'flow=order and status=running' go
    """
    run, *said = words if wish.where is None and words else (None, *words)
    if not 1 <= len(said) <= 2:
        raise UsageError("say [RUN] NAME [VALUE]: the run (or --where), the signal's name, and its value as JSON or @file")
    value = read_value(said[1], "the value") if len(said) == 2 else None
    return await _tell(client, "signal", run, wish, name=said[0], value=value, id=key)


async def _tell(client: Client, verb: str, run: str | None, wish: Wish, **options: Any) -> int:
    """One run or many. Returns the exit code."""
    if (run is None) == (wish.where is None):
        raise UsageError(f"say which run, or which runs with --where: jetfleet runs {verb} RUN, or jetfleet runs {verb} --where FILTER")
    if run is None:
        return await tell_many(client, verb, wish, options)
    if wish.dry_run or wish.rate is not None:
        raise UsageError("--dry-run and --rate go with --where; `jetfleet runs show` looks at one run")
    id = await client.full_id(run)
    refused = refusal(verb, await client.standing(id))
    if refused is not None:
        raise refused
    made = await getattr(client, verb)(id, **options)
    _say(verb, id, made.id if verb == "fork" else "", wish.form)
    if verb in ("retry", "fork") and made.reopened is not None:
        _report(made.reopened)
    return 0


def _say(verb: str, run: str, made: str, form: str) -> None:
    if form == "json":
        click.echo(as_json({"run_id": run, "outcome": "done", "fork": made or None}))
    elif made:
        click.echo(made)
    else:
        note(f"{run} {TOLD[verb]}")


def _report(report: Report) -> None:
    """What was found out beforehand, to standard error."""
    for wait in report.waits_for[:SHOWN_MAX]:
        note(f"  goes on with {wait}")
    if report.kept:
        note(f"  kept: {_names(report.kept)}")
    if report.elsewhere:
        note(f"  may be gone by now, and is made again then or fails with payload_lost: {_names(report.elsewhere)}")


def _names(keys: tuple[str, ...]) -> str:
    more = f" and {len(keys) - SHOWN_MAX:,} more" if len(keys) > SHOWN_MAX else ""
    return ", ".join(keys[:SHOWN_MAX]) + more


def _change(text: str) -> tuple[str, Any]:
    """A path and its value: JSON, else the text as it stands."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise UsageError(f"--set {text!r} is no change; write e.g. --set trigger.amount=5 or --set charge.status=paid")
    try:
        return path.strip(), json.loads(value)
    except RecursionError:
        raise UsageError(f"the value of --set {path.strip()} is nested too deeply") from None
    except ValueError:
        return path.strip(), value
