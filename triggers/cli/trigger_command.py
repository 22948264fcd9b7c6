"""`jetfleet trigger …`: look at triggers, and decide about them.

0    done        1    there is no such flow or trigger        2    it makes no sense, such as pausing what is disabled
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import click

from ...broker.api import Client, TriggerView
from ...broker.cli.options import form_option, with_client
from ...broker.cli.printing import as_json, as_text, moment, note, printable, show_rows
from ...broker.cli.trigger_trouble import trouble
from ...broker.study.words import span
from ...broker.triggers.places import next_times, place
from ...broker.triggers.serving import Serving
from ...schemas.errors import UsageError
from ...schemas.messages import DISABLED, PAUSED, TriggerState
from .fire_command import fire_command
from .serve_command import serve_command

COLUMNS = ("flow", "trigger", "type", "state", "served_by", "fired", "last_fired", "error")
TIMES_SHOWN = 3

reason_option = click.option("--reason", default="", metavar="TEXT", help="Why, for those who look at it later.")
Decide = Callable[[str, str, str], Awaitable[TriggerState]]


@click.group("trigger", short_help="Serve triggers, look at them, and fire them.")
def trigger_command() -> None:
    """Serve the triggers of deployed flows, look at them, pause them, and fire them."""


trigger_command.add_command(serve_command)
trigger_command.add_command(fire_command)


@trigger_command.command("list", short_help="List triggers, who serves them, and what is wrong.")
@click.argument("flow", required=False)
@form_option
@with_client
async def list_command(client: Client, flow: str | None, form: str) -> None:
    """List the triggers of all deployed flows, or of one: who serves them, how often they fired, what is wrong."""
    rows = [_row(view, form) for view in await client.triggers(flow)]
    show_rows(rows, COLUMNS, form, "no deployed flow has a trigger" if flow is None else f"flow {flow} has no trigger")


@trigger_command.command("show", short_help="Show a trigger with all that is known of it.")
@click.argument("flow")
@click.argument("trigger")
@form_option
@with_client
async def show_command(client: Client, flow: str, trigger: str, form: str) -> None:
    """Show a trigger: its params, where it listens, when it fires next, and what each process that serves it says."""
    view = await client.trigger(flow, trigger)
    if form == "json":
        click.echo(as_json(_document(view)))
        return
    lines = list(_lines(view))
    width = max(len(name) for name, _ in lines)
    for name, content in lines:
        click.echo(f"{name.ljust(width)}  {printable(content)}".rstrip())


@trigger_command.command("pause")
@click.argument("flow")
@click.argument("trigger", required=False)
@reason_option
@with_client
async def pause_command(client: Client, flow: str, trigger: str | None, reason: str) -> None:
    """Let a trigger, or all of a flow, take nothing more. What happens meanwhile waits where that is possible."""
    await _decide(client, client.pause_trigger, flow, trigger, reason)


@trigger_command.command("resume")
@click.argument("flow")
@click.argument("trigger", required=False)
@reason_option
@with_client
async def resume_command(client: Client, flow: str, trigger: str | None, reason: str) -> None:
    """Let a paused trigger, or all of a flow, go on."""
    await _decide(client, client.resume_trigger, flow, trigger, reason)


@trigger_command.command("disable", short_help="Let a trigger be as if it were not there.")
@click.argument("flow")
@click.argument("trigger", required=False)
@reason_option
@with_client
async def disable_command(client: Client, flow: str, trigger: str | None, reason: str) -> None:
    """Let a trigger, or all of a flow, be as if it were not there: nobody listens, and its events are refused."""
    await _decide(client, client.disable_trigger, flow, trigger, reason)


@trigger_command.command("enable")
@click.argument("flow")
@click.argument("trigger", required=False)
@reason_option
@with_client
async def enable_command(client: Client, flow: str, trigger: str | None, reason: str) -> None:
    """Let a disabled trigger, or all of a flow, be there again."""
    await _decide(client, client.enable_trigger, flow, trigger, reason)


@trigger_command.command("next")
@click.argument("flow")
@click.argument("trigger")
@click.option("-n", "--count", type=click.IntRange(1, 1_000), default=5, show_default=True, help="How many times.")
@form_option
@with_client
async def next_command(client: Client, flow: str, trigger: str, count: int, form: str) -> None:
    """Show when a cron trigger fires next, in its time zone."""
    view = await client.trigger(flow, trigger)
    stopped, now = _stopped(view), time.time()
    rows = [
        {"at": at.isoformat(), "in": _until(at, now) if form != "json" else at.timestamp() - now, "fires": not stopped}
        for at in _times(view, count)
    ]
    if stopped:
        note(f"{stopped}; these are the times of its schedule")
    show_rows(rows, ("at", "in"), form, "never: it has no time left")


# --- deciding


async def _decide(client: Client, decide: Decide, flow: str, trigger: str | None, reason: str) -> None:
    """Of all triggers of a flow, those that it makes no sense for are left as they are, and said last."""
    refused: list[UsageError] = []
    chosen = [trigger] if trigger is not None else _all(client, flow)
    for id in chosen:
        try:
            said = await decide(flow, id, reason)
            note(f"{said.state}: {flow}.{id}")
        except UsageError as error:
            refused.append(error)
    if len(refused) == len(chosen):
        raise refused[0]
    for why in refused:
        note(f"left as it is: {why}")


def _all(client: Client, flow: str) -> list[str]:
    """Those that the flow's definition does not switch off itself."""
    found = [each.id for each in client.require(flow).triggers if each.enabled]
    if not found:
        raise UsageError(f"flow {flow!r} has no trigger that could be paused or resumed")
    return found


# --- showing


def _row(view: TriggerView, form: str) -> dict[str, Any]:
    row = {"flow": view.flow, "trigger": view.id, "type": view.type, "state": view.condition}
    if form == "json":
        at = view.last_at or None
        return row | {"reason": view.reason, "served_by": list(view.served), "fired": view.fired, "last_fired": at, "error": trouble(view)}
    return row | {
        "served_by": ", ".join(view.served), "fired": f"{view.fired:,}", "last_fired": moment(view.last_at), "error": trouble(view),
    }  # fmt: skip


def _document(view: TriggerView) -> dict[str, Any]:
    served = {id: {name: getattr(each, name) for name in Serving.__slots__[3:]} for id, each in view.served.items()}
    return {
        **_row(view, "json"),
        "since": view.since or None,
        "params": view.params,
        "listens": place(view.type, view.params),
        "next": [at.isoformat() for at in _next(view)],
        "served_by": served,
    }


def _lines(view: TriggerView) -> Iterator[tuple[str, str]]:
    yield "trigger", f"{view.flow}.{view.id}, of type {view.type}"
    yield "state", _state(view)
    yield "params", as_text(view.params or {})
    if listens := place(view.type, view.params):
        yield "listens", listens
    if times := _next(view):
        yield "next", ", ".join(at.isoformat() for at in times)
    elif view.type == "cron":
        yield "next", _stopped(view) or "never: it has no time left"
    if wrong := trouble(view):
        yield "error", wrong
    for id, each in view.served.items():
        yield "served by", f"{id}: {_served(each)}"


def _state(view: TriggerView) -> str:
    if not view.in_flow:
        return f"{view.state}, in the flow's definition"
    if view.condition != view.state:
        return view.condition
    since = f" since {moment(view.since)}" if view.since else ""
    return f"{view.state}{since}" + (f": {view.reason}" if view.reason else "")


def _served(each: Serving) -> str:
    counts = f"{each.state}, {each.fired:,} fired, {each.refused:,} refused, {each.in_flight:,} in flight, {each.restarts:,} restarts"
    last = f", last fired {moment(each.last_at)}" if each.last_at else ""
    return counts + last + (f"; {each.detail}" if each.detail else "") + (f"; last error: {each.error}" if each.error else "")


def _next(view: TriggerView) -> list[datetime]:
    """None while somebody keeps it from firing."""
    return _times(view, TIMES_SHOWN) if view.type == "cron" and not _stopped(view) else []


def _stopped(view: TriggerView) -> str:
    """Why it does not fire, whatever its schedule says; "" if it does."""
    if view.state not in (PAUSED, DISABLED):
        return ""
    return f"it is {view.state} and does not fire" + ("" if view.in_flow else ": its definition says `enabled: false`")


def _times(view: TriggerView, count: int) -> list[datetime]:
    """In the trigger's own time zone."""
    params = view.params if isinstance(view.params, Mapping) else {}
    zone = ZoneInfo(params.get("timezone", "UTC"))
    return [at.astimezone(zone) for at in next_times(view.type, view.params, count)]


def _until(at: datetime, now_s: float) -> str:
    return span(max(0, round((at.timestamp() - now_s) * 1_000)))
