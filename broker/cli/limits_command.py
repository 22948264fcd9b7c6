"""`jetfleet limits …`: which limits are in use, who holds their slots, and who is next.

0    done        1    nobody holds or waits at that limit
"""

from __future__ import annotations

from typing import Any

import click

from ...schemas.cli import FAILED
from ..api import Client
from ..limit_views import LimitView, SlotView
from .gathered_command import gathered_command
from .options import form_option, with_client
from .printing import moment, note, show_rows

COLUMNS = ("limit", "held", "max", "waiting")
SLOTS = ("place", "run", "activation", "attempt", "since", "priority", "fairness", "not_before")


@click.group("limits", short_help="Look at limits.")
def limits_command() -> None:
    """Limits: how many may be at work at once, or begin in a while."""


limits_command.add_command(gathered_command)


@limits_command.command("list")
@click.argument("prefix", default="")
@form_option
@with_client
async def list_command(client: Client, prefix: str, form: str) -> None:
    """List the limits that are held or waited at, those with the most waiting first.

    \b
    jetfleet limits list =flow:orders
    """
    rows = [_row(view) for view in await client.limits(prefix)]
    show_rows(rows, COLUMNS, form, "nobody holds a slot, and nobody waits for one")


@limits_command.command("show")
@click.argument("id", metavar="LIMIT")
@form_option
@with_client
async def show_command(client: Client, id: str, form: str) -> int:
    """Show who holds the slots of a limit, and who waits, the next one first.

    \b
    jetfleet limits show =flow:orders:acme
    """
    view = await client.limit(id)
    if view is None:
        note(f"nobody holds a slot of {id}, and nobody waits for one")
        return FAILED
    if form == "table":
        held = "a rate" if view.is_rate else f"{view.most} at a time, {view.held} held"
        note(f"{view.id}  {held}, {view.waiting} waiting")
    rows = [_slot("holds", slot, form) for slot in view.holders]
    rows += [_slot(place, slot, form) for place, slot in enumerate(view.line, 1)]
    show_rows(rows, SLOTS, form, "nobody is in the line")
    return 0


def _row(view: LimitView) -> dict[str, Any]:
    return {"limit": view.id, "held": view.held, "max": view.most, "waiting": view.waiting}


def _slot(place: int | str, slot: SlotView, form: str) -> dict[str, Any]:
    """`place`: in the line, from 1."""
    times = (slot.since, slot.not_before or None)
    since, not_before = times if form == "json" else (moment(each) if each else None for each in times)
    return {
        "place": place, "run": slot.run, "activation": list(slot.activation) if form == "json" else "/".join(map(str, slot.activation)),
        "attempt": slot.attempt, "since": since, "priority": slot.priority, "fairness": slot.fair, "not_before": not_before,
    }  # fmt: skip
