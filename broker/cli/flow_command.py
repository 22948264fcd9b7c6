"""`jetfleet flow …`: look at flows as a whole, and decide about them.

0    done        1    there is no such flow or version, or it makes no sense        2    it cannot be understood
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import click

from ...schemas.messages import Drain
from ..api import Client, FlowView, VersionView
from ..study.words import span
from .flow_diff_command import diff_command
from .flow_draining import drain_command
from .flow_moving import move_command, rollback_command
from .flow_pausing import pause_command, resume_command
from .options import form_option, with_client
from .printing import as_json, moment, printable, show_rows
from .shares import percent

DIGEST_CHARACTERS = 12


@click.group("flow", short_help="Look at flows; pause, drain, move and roll them back.")
def flow_command() -> None:
    """Look at flows as a whole: pause and resume them, drain them, and move new runs from one version to another."""


for command in (pause_command, resume_command, drain_command, move_command, rollback_command, diff_command):
    flow_command.add_command(command)


@flow_command.command("list")
@form_option
@with_client
async def list_command(client: Client, form: str) -> None:
    """List all flows that are deployed, that have open runs, or that somebody has paused."""
    rows = [_document(view) if form == "json" else _row(view) for view in await client.flow_views()]
    show_rows(rows, ("flow", "state", "versions", "open", "waiting", "reason"), form, "no flow is deployed; `jetfleet deploy FILE`")


@flow_command.command("show")
@click.argument("flow")
@form_option
@with_client
async def show_command(client: Client, flow: str, form: str) -> None:
    """Show a flow: whether it starts runs, with which versions, what is open and what waits."""
    view = await client.flow(flow)
    if form == "json":
        click.echo(as_json(_document(view)))
        return
    lines = list(_lines(view))
    width = max(len(name) for name, _ in lines)
    for name, content in lines:
        click.echo(f"{name.ljust(width)}  {printable(content)}".rstrip())


@flow_command.command("versions")
@click.argument("flow")
@form_option
@with_client
async def versions_command(client: Client, flow: str, form: str) -> None:
    """List the versions of a flow, the latest first: which share of new runs begins with each, and how many runs are open."""
    views = await client.flow_versions(flow)
    rows = [_version_document(view) if form == "json" else _version_row(view) for view in views]
    show_rows(rows, ("version", "digest", "deployed", "share", "open", "draining"), form)


# --- showing


def _row(view: FlowView) -> dict[str, Any]:
    return {
        "flow": view.flow, "state": _state(view), "versions": ", ".join(map(_share, view.versions)), "open": _open(view),
        "waiting": f"{view.waiting:,}", "reason": view.reason,
    }  # fmt: skip


def _state(view: FlowView) -> str:
    return f"{view.condition}, with its runs" if view.runs else view.condition


def _share(view: VersionView) -> str:
    return f"{view.version} {percent(view.share)}" if 0 < view.share < 100 else f"{view.version}"


def _open(view: FlowView) -> str:
    return f"{view.open:,}" + ("?" if view.silent else "")


def _version_row(view: VersionView) -> dict[str, Any]:
    return {
        "version": view.version, "digest": view.digest[:DIGEST_CHARACTERS], "deployed": moment(view.deployed_at),
        "share": percent(view.share) if view.share else "", "open": f"{view.open:,}", "draining": _left(view.drain),
    }  # fmt: skip


def _lines(view: FlowView) -> Iterator[tuple[str, str]]:
    yield "flow", view.flow + ("" if view.deployed else ", which is not deployed")
    since = f" since {moment(view.since)}" if view.since else ""
    yield "state", _state(view) + since + (f": {view.reason}" if view.reason else "")
    if view.drain is not None:
        yield "drain", _left(view.drain)
    for each in view.versions:
        drain = f", {_left(each.drain)}" if each.drain is not None else ""
        share = f"{percent(each.share)} of new runs" if each.share else "no new runs"
        yield "version", f"{each.version} ({each.digest[:DIGEST_CHARACTERS]}): {share}, {each.open:,} open{drain}"
    yield "open", _open(view) + (f"; partitions {', '.join(map(str, view.silent))} do not answer" if view.silent else "")
    yield "waiting", f"{view.waiting:,} {'message' if view.waiting == 1 else 'messages'} of events"


def _left(drain: Drain | None) -> str:
    """What comes next of a drain, in words."""
    if drain is None:
        return ""
    now = time.time_ns() // 1_000_000
    if now < drain.cancel_at:
        return f"open runs are cancelled in {span(drain.cancel_at - now)}"
    return f"open runs are cancelled, and killed in {span(drain.kill_at - now)}" if now < drain.kill_at else "open runs are killed"


def _document(view: FlowView) -> dict[str, Any]:
    return {
        "flow": view.flow, "state": view.condition, "deployed": view.deployed, "reason": view.reason, "since": view.since or None,
        "runs": view.runs, "drain": _drain_document(view.drain), "open": view.open, "waiting": view.waiting, "silent": list(view.silent),
        "versions": [_version_document(each) for each in view.versions],
    }  # fmt: skip


def _version_document(view: VersionView) -> dict[str, Any]:
    return {
        "version": view.version, "digest": view.digest, "deployed_at": view.deployed_at, "share": view.share, "open": view.open,
        "drain": _drain_document(view.drain),
    }  # fmt: skip


def _drain_document(drain: Drain | None) -> dict[str, Any] | None:
    if drain is None:
        return None
    return {"since": drain.since, "cancel_at": drain.cancel_at, "kill_at": drain.kill_at, "reason": drain.reason}
