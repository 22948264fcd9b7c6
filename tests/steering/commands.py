"""Commands as a person types them, against one whole fleet of processes."""

from __future__ import annotations

from jetfleet.broker.api.standing import Standing

from ..fleet.background_fleet import BackgroundFleet
from ..fleet.commands import Cli, Said, cli_of

__all__ = ["Cli", "Said", "cli_of", "sent", "stands"]


def sent(cli: Cli, flow: str, event: str = "{}", *more: str) -> str:
    """The id of a run that was sent."""
    said = cli("send", flow, event, *more)
    assert said.code == 0, said.err
    return said.out.strip()


def stands(whole: BackgroundFleet, run: str, *statuses: str) -> Standing:
    """Wait until the run is in one of these, as its owner says, and as lists show it."""

    async def look() -> Standing:
        client = whole.fleet.client
        while True:
            rows = (await client.runs(f"id = {run}")).rows
            if rows and rows[0].status in statuses:
                now = await client.standing(run)
                if now.status in statuses:
                    return now

    return whole.do(look())
