"""What the commands about a fleet have in common: where its server is, how to write what was found, the client to talk through."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from ...schemas.subjects import URL_DEFAULT
from ..loop import run

if TYPE_CHECKING:
    from ..api import Client

P = ParamSpec("P")
Command = TypeVar("Command", bound=Callable[..., Any])

nats_option = click.option(
    "--nats",
    "url",
    metavar="URL",
    envvar="JETFLEET_NATS",
    default=URL_DEFAULT,
    show_default=True,
    help="The fleet's server; several with commas between them.",
)
credentials_option = click.option(
    "--credentials", metavar="FILE", envvar="JETFLEET_CREDENTIALS", help="The .creds file to connect with, where the server asks for one."
)
form_option = click.option(
    "-o", "--output", "form", type=click.Choice(["table", "json"]), default="table", show_default=True, help="How to write it."
)


def with_client(work: Callable[Concatenate[Client, P], Awaitable[int | None]]) -> Callable[..., None]:
    """A command's function that gets a connected client first; what it returns is the exit code, None for 0."""

    @nats_option
    @credentials_option
    @functools.wraps(work)
    def command(url: str, credentials: str | None, *args: P.args, **kwargs: P.kwargs) -> None:
        async def connected() -> int | None:
            async with await connect(url, credentials) as client:
                return await work(client, *args, **kwargs)

        click.get_current_context().exit(run(connected()) or 0)

    return command


async def connect(url: str, credentials: str | None, arena: Path | None = None) -> Client:
    """`arena`: the folder of this host's arena. Raises Unreachable and other BrokerErrors."""
    from ..api import Client  # not before it is needed: it takes longer to load than most commands take

    return await Client.connect(url, name="jetfleet-cli", credentials=credentials, arena=arena)
