"""`jetfleet flow pause` and `resume`: they return when every coordinator follows, and say so where one does not within seconds."""

from __future__ import annotations

import click

from ..api import Client, FlowView
from .options import with_client
from .printing import note

reason_option = click.option("--reason", default="", metavar="TEXT", help="Why, for those who look at it later.")


@click.command("pause")
@click.argument("flow")
@click.option("--runs", is_flag=True, help="Pause its open runs too, as long as the flow is paused.")
@reason_option
@with_client
async def pause_command(client: Client, flow: str, runs: bool, reason: str) -> None:
    """Start no runs of a flow. Its events wait, its open runs go on."""
    view = await client.pause_flow(flow, reason, runs=runs)
    note(f"paused: {flow}" + (", with its runs" if view.runs else "") + (f" ({view.reason})" if view.reason else ""))
    warn_unfollowed(view)


@click.command("resume")
@click.argument("flow")
@reason_option
@with_client
async def resume_command(client: Client, flow: str, reason: str) -> None:
    """Let a paused or draining flow go on, with the runs that were paused with it and the events that wait."""
    view = await client.resume_flow(flow, reason)
    note(f"running: {flow}" + (f", {view.waiting:,} messages of events waited" if view.waiting else ""))


def warn_unfollowed(view: FlowView) -> None:
    if not view.followed:
        note("note: a coordinator does not follow yet, and may still start runs; `jetfleet doctor` shows how they are")
