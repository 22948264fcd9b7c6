"""`jetfleet flow move` and `rollback`: which version new runs begin with. Open runs stay with theirs."""

from __future__ import annotations

import click

from ..api import Client, FlowView
from .options import with_client
from .printing import note
from .shares import as_share, percent

DIGEST_CHARACTERS = 12


@click.command("move")
@click.argument("flow")
@click.option(
    "--share",
    callback=as_share,
    metavar="PERCENT",
    required=True,
    help="How many of the new runs begin with the next version: 50%. 100%: all, for good.",
)
@with_client
async def move_command(client: Client, flow: str, share: float) -> None:
    """Let a share of new runs begin with the version that was deployed with `deploy --share`."""
    _tell(await client.move_flow(flow, share))


@click.command("rollback")
@click.argument("flow")
@click.option("--to", default="", metavar="VERSION", help="Its name, or the beginning of its digest. Without: the one before.")
@with_client
async def rollback_command(client: Client, flow: str, to: str) -> None:
    """Let all new runs begin with an earlier version; while runs are moved, with the one that they are moved from."""
    _tell(await client.roll_back_flow(flow, to))


def _tell(view: FlowView) -> None:
    shares = [f"{each.version} ({each.digest[:DIGEST_CHARACTERS]}) {percent(each.share)}" for each in view.versions if each.share]
    note(f"new runs: {view.flow} {', '.join(shares)}")
