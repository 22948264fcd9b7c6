"""`jetfleet limits gathered`: events that wait for others before they become a run."""

from __future__ import annotations

from typing import Any

import click

from ..api import Client
from ..collection_views import CollectionView
from .options import form_option, with_client
from .printing import moment, show_rows

COLUMNS = ("collector", "events", "mode", "first", "due", "closed", "run")


@click.command("gathered")
@click.argument("flow", default="")
@form_option
@with_client
async def gathered_command(client: Client, flow: str, form: str) -> None:
    """List the collections of a flow with `debounce` or `batch`, or of all flows, the oldest first.

    \b
    jetfleet limits gathered reindex
    """
    if flow:
        await client.flow(flow)  # a name that nobody knows is no empty list
    rows = [_row(view, form) for view in await client.collections(flow)]
    show_rows(rows, COLUMNS, form, "no event is being gathered" + (f" for {flow}" if flow else ""))


def _row(view: CollectionView, form: str) -> dict[str, Any]:
    times = (view.first_at, view.due, view.closed_at or None)
    first, due, closed = times if form == "json" else (moment(each) if each else None for each in times)
    return {
        "collector": view.collector, "events": view.count, "mode": view.mode, "first": first, "due": due, "closed": closed, "run": view.run,
    }  # fmt: skip
