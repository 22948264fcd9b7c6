"""`jetfleet runs show`: one run as a tree; with `--watch` again and again, until it has ended."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from ...schemas.errors import JetfleetError
from ..api import Client
from ..api.family import Member
from ..engine import Blocked
from ..run_result import RunResult
from ..study.moving import move
from ..study.phases import Phases, phases
from ..study.words import in_words
from . import run_tree
from .options import form_option, with_client
from .printing import as_json, note
from .run_tree import Shown
from .runs_command import run_argument, runs_command
from .watching import watch

LOOK_S = 0.5
PHASES_RECORDS_MAX = 20_000
"""Of a longer journal it is not worked out where the time went: that takes seconds."""


@runs_command.command("show")
@run_argument
@click.option("--full", is_flag=True, help="Show all iterations of loops and items of splits.")
@click.option("--watch", "watching", is_flag=True, help="Show it again whenever something happens, until it ends.")
@form_option
@with_client
async def show_command(client: Client, run: str, full: bool, watching: bool, form: str) -> None:
    """Show a run: what its nodes did, how it ended, or why it does not move and what would move it."""
    id = await client.full_id(run)
    if watching and sys.stdout.isatty() and form == "table":
        await _live(client, id, full)
        return
    if watching:
        await watch(client, await client.handle(id))
    found = await _shown(client, id, full)
    if form == "json":
        click.echo(as_json(_as_value(found)))
    elif sys.stdout.isatty():
        console = Console(highlight=False)
        console.print(run_tree.pretty(found, console))
    else:
        for line in run_tree.plain(found):
            click.echo(line)


async def _live(client: Client, run: str, full: bool) -> None:
    """On a terminal, in place. The end stays on the screen."""
    console = Console(highlight=False)
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            found = await _shown(client, run, full)
            live.update(run_tree.pretty(found, console), refresh=True)
            if found.result.state is None or found.result.state.ended:
                return
            await asyncio.sleep(LOOK_S)


async def _shown(client: Client, run: str, full: bool) -> Shown:
    """Raises UnknownRun, ReaderAbsent, JournalGap, BrokerError."""
    found = await client.show(run)
    return Shown(found, _phases(found), await _family(client, found), time.time_ns() // 1_000_000, full, await _outside(client, found))


async def _outside(client: Client, found: RunResult) -> list[Blocked]:
    """What an open run waits for that is not in its records: its owner knows it from the workers."""
    view = None if found.state is None or found.state.ended else await client.look(found.run_id)
    blocked = () if view is None else (Blocked(*each) for each in view.blocked)
    return [each for each in blocked if each.node == "run" and each.reason in ("room", "payload")]


def _phases(found: RunResult) -> dict[str, Phases]:
    if found.state is None or len(found.journal) > PHASES_RECORDS_MAX:
        return {}
    return phases(found.state.plan, found.journal)


async def _family(client: Client, found: RunResult) -> Member | None:
    """The runs of its sub-flows, where the flow has such nodes and somebody can tell."""
    if found.state is None or not any(node.type == "std::subflow" for node in found.state.plan.nodes):
        return None
    try:
        return (await client.tree(found.run_id)).top
    except JetfleetError as error:
        note(f"note: the runs of its sub-flows cannot be shown: {error.code} {error}")
        return None


def _as_value(shown: Shown) -> dict[str, Any]:
    value = shown.result.as_value()
    for key, times in shown.phases.items():
        if key in value["nodes"]:
            value["nodes"][key] |= times.as_value()
    run, waits = shown.result.state, shown.waits
    return {
        **value,
        "waits": [in_words(wait, shown.now_ms) for wait in waits],
        "moves": [move(run, wait).command for wait in waits if run is not None],
        "children": [] if shown.family is None else [_member(each) for each in shown.family.children],
    }


def _member(member: Member) -> dict[str, Any]:
    return {
        "run_id": member.run,
        "flow": member.row.flow,
        "status": member.status,
        "node": member.node,
        "children": [_member(each) for each in member.children],
    }
