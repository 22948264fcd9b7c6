"""`jetfleet deploy FLOWS…`: make these versions of flows the current ones.

A flow that is not valid is reported with its problems, and the others are deployed.

    0    all deployed (or deployed already)         5    some are not valid
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ...schemas.cli import INVALID
from ...schemas.commands import flow_files
from ...schemas.errors import InvalidFlow
from ..api import Client
from ..versions import WHOLE, DeployedFlow
from .options import form_option, with_client
from .printing import note, show_rows
from .shares import as_share, percent

COLUMNS = ("flow", "version", "digest", "changed", "share")
DIGEST_CHARACTERS = 12

nodes_option = click.option(
    "--nodes", multiple=True, metavar="MODULE_OR_FILE", help="Where own nodes are defined: a module or a .py file. Repeatable."
)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What came of deploying files. `invalid` are those that were not deployed."""

    flows: tuple[DeployedFlow, ...]
    invalid: tuple[tuple[Path, InvalidFlow], ...]


async def deploy_files(
    client: Client, files: Iterable[Path], nodes: Sequence[str] = (), share: float = WHOLE, force: bool = False
) -> Deployment:
    """Deploy the flows in these files, the invalid ones apart. Raises BrokerError, UsageError for a file that cannot be read."""
    flows, invalid = [], []
    for file in files:
        try:
            flows.append(await client.deploy(file, nodes=nodes, share=share, force=force))
        except InvalidFlow as error:
            invalid.append((file, error))
    return Deployment(tuple(flows), tuple(invalid))


def report_invalid(deployment: Deployment) -> None:
    """Say to standard error why some were not deployed."""
    for file, error in deployment.invalid:
        for problem in error.problems:
            note(f"{problem.severity}: {problem}")
        note(f"not deployed: {file}")


@click.command("deploy", short_help="Make these versions of flows the current ones.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path), metavar="FLOWS...")
@nodes_option
@click.option(
    "--share",
    callback=as_share,
    metavar="PERCENT",
    help="How many of the new runs begin with it: 10%. `flow move` goes on from there. Without: all.",
)
@click.option("--force", is_flag=True, help="However many versions of the flow have open runs (max_concurrent_versions).")
@form_option
@with_client
async def deploy_command(
    client: Client, paths: tuple[Path, ...], nodes: tuple[str, ...], share: float | None, force: bool, form: str
) -> int:
    """Deploy flows: files, or folders with all .yaml, .yml and .json files in them.

    Runs that are open go on with the version that they began with. What is deployed already changes nothing.
    """
    deployment = await deploy_files(client, flow_files(paths), nodes, WHOLE if share is None else share, force)
    rows = [
        {
            "flow": flow.name,
            "version": flow.version,
            "digest": flow.digest if form == "json" else flow.digest[:DIGEST_CHARACTERS],
            "changed": flow.changed if form == "json" else "yes" if flow.changed else "no",
            "share": flow.share if form == "json" else percent(flow.share),
        }
        for flow in deployment.flows
    ]
    show_rows(rows, COLUMNS, form, "nothing was deployed")
    report_invalid(deployment)
    for flow in deployment.flows:
        if client.flows.is_held(flow.name):
            note(f"note: {flow.name} is {client.flows.state(flow.name).state}; `jetfleet flow resume {flow.name}` lets it start runs")
    return INVALID if deployment.invalid else 0
