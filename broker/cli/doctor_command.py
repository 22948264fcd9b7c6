"""`jetfleet doctor`: is all well with the fleet? One line per check.

0    nothing needs anybody        1    something does, the lines marked `bad` say what
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ...schemas.cli import FAILED
from ...schemas.errors import JetfleetError
from ..accept_loss import accept_loss
from ..client import Connection
from ..credentials import Credentials
from ..loop import run
from .checks import CHECKS, high_water
from .checkup import examine
from .finding import Finding
from .options import connect, credentials_option, form_option, nats_option, quiet_log
from .printing import as_json, printable, show_styled

STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}


@click.command("doctor", short_help="Check the whole fleet.")
@nats_option
@credentials_option
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    envvar="JETFLEET_DATA",
    default=Path(".jetfleet"),
    show_default=True,
    help="The folder of a server or coordinator on this machine.",
)
@click.option("--monitor", metavar="URL", help="The server's monitoring port. Default: what the server in --data says.")
@click.option(
    "--accept-loss", "accepts", is_flag=True, help="Go on with what the server still has, where it has lost acknowledged messages."
)
@form_option
@click.pass_context
def doctor_command(
    context: click.Context, url: str, credentials: Credentials | None, data: Path, monitor: str | None, accepts: bool, form: str
) -> None:
    """Check the whole fleet, and say what to do about what is wrong."""
    findings = run(_examined(url, credentials, data, monitor, accepts))
    for finding in findings:
        if form == "json":
            click.echo(as_json(asdict(finding)))
        else:
            show_styled(f"{finding.grade:4}  {finding.check:10}  {printable(finding.says)}", STYLES[finding.grade], len(finding.grade))
    context.exit(FAILED if any(finding.grade == "bad" for finding in findings) else 0)


async def _examined(url: str, credentials: Credentials | None, data: Path, monitor: str | None, accepts: bool) -> list[Finding]:
    quiet_log()
    try:
        if accepts:
            await _accept(url, credentials)
        async with await connect(url, credentials) as client:
            found = await examine(client, data, monitor)
            findings = [finding for check in CHECKS for finding in check(found)]
            return [*findings, await high_water(found, accepts)]
    except JetfleetError as error:
        return [Finding("server", "bad", f"{error.code} {error}")]


async def _accept(url: str, credentials: Credentials | None) -> None:
    async with await Connection.open(url, name="jetfleet-doctor", credentials=credentials) as connection:
        await accept_loss(connection)
