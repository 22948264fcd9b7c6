"""`jetfleet undeploy FLOWS…`: start no more runs of these flows.

What is there of them stays: open runs go on, events wait until the flow is deployed again. With `--drain` a flow is drained first, so that
no run of it is open when it goes.

    0    none of them is deployed any more        1    one of them was not deployed, or was resumed while it was drained
"""

from __future__ import annotations

import click

from ...schemas.cli import FAILED
from ..api import Client
from ..api.errors import UnknownFlow
from .flow_draining import watch_drain
from .options import with_client
from .printing import complain, note


@click.command("undeploy", short_help="Start no more runs of these flows.")
@click.argument("flows", nargs=-1, required=True, metavar="FLOW...")
@click.option("--drain", is_flag=True, help="Wait until no run is open first; in the end they are cancelled, as by `flow drain`.")
@with_client
async def undeploy_command(client: Client, flows: tuple[str, ...], drain: bool) -> int:
    """Start no more runs of these flows. Their triggers are served no more, their open runs go on, and their events wait.

    `jetfleet deploy` brings a flow back, with what waits for it.
    """
    failed = False
    for flow in dict.fromkeys(flows):
        if client.flows.version(flow) is None:
            failed = True
            complain(UnknownFlow(flow, client.flows.names()))
        elif drain and not await _drained(client, flow):
            failed = True
        else:
            await client.undeploy(flow)
            note(f"undeployed: {flow}")
    return FAILED if failed else 0


async def _drained(client: Client, flow: str) -> bool:
    return await watch_drain(client, await client.drain_flow(flow, reason="it is undeployed"))
