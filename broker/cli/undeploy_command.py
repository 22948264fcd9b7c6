"""`jetfleet undeploy FLOWS…`: start no more runs of these flows.

What is there of them stays: open runs go on, events wait until the flow is deployed again.

    0    none of them is deployed any more        1    one of them was not deployed
"""

from __future__ import annotations

import click

from ...schemas.cli import FAILED
from ..api import Client
from ..api.errors import UnknownFlow
from .options import with_client
from .printing import complain, note


@click.command("undeploy", short_help="Start no more runs of these flows.")
@click.argument("flows", nargs=-1, required=True, metavar="FLOW...")
@with_client
async def undeploy_command(client: Client, flows: tuple[str, ...]) -> int:
    """Start no more runs of these flows. Their triggers are served no more, their open runs go on, and their events wait.

    `jetfleet deploy` brings a flow back, with what waits for it.
    """
    unknown = False
    for flow in dict.fromkeys(flows):
        if await client.undeploy(flow):
            note(f"undeployed: {flow}")
        else:
            unknown = True
            complain(UnknownFlow(flow, client.flows.names()))
    return FAILED if unknown else 0
